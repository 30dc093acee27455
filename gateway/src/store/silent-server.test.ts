import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type PostgresServer, postgresPrograms, startPostgres } from '../testing/postgres-server.ts';
import { DATABASE_UNAVAILABLE, type Database, openPostgres } from './database.ts';
import { storeOn } from './store.ts';
import { OPENING_MS, tickingClock } from './testing.ts';

const STATEMENT_MS = 1000;
const missing = postgresPrograms() === undefined && process.env.JSIGR_TEST_POSTGRES !== 'required';

/** Passes on what goes through it, until the connections that there are fall silent: as when a machine vanishes, they stay open, and nothing comes. */
async function silencer(port: number) {
  const links = new Set<readonly [Socket, Socket]>();
  const server = createServer((from) => {
    const to = connect(port, '127.0.0.1');
    const link = [from, to] as const;
    links.add(link);
    for (const end of link)
      end
        .on('error', () => {})
        .once('close', () => {
          for (const each of link) each.destroy();
          links.delete(link);
        });
    from.pipe(to).pipe(from);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound ? bound.port : 0,
    silence() {
      for (const [from, to] of links) {
        from.unpipe(to).resume();
        to.unpipe(from).resume();
      }
    },
    close() {
      for (const ends of links) for (const end of ends) end.destroy();
      server.close();
    },
  };
}

describe.skipIf(missing)('a PostgreSQL server that falls silent', () => {
  let server: PostgresServer;
  let proxy: Awaited<ReturnType<typeof silencer>>;
  let database: Database;
  beforeAll(async () => {
    server = await startPostgres();
  }, OPENING_MS);
  afterAll(() => server?.close());
  afterEach(async () => {
    await database.close();
    proxy.close();
  });

  async function open(): Promise<Database> {
    const url = new URL(await server.newDatabase());
    proxy = await silencer(Number(url.port));
    url.port = String(proxy.port);
    database = await openPostgres(url.href, { statementMs: STATEMENT_MS });
    return database;
  }
  const backend = async ({ kysely }: Database) =>
    (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(kysely)).rows[0]?.pid;

  test('is given up, and so is the connection: the next statement gets another one', async () => {
    const opened = await open();
    const before = await backend(opened);
    proxy.silence();
    await expect(backend(opened)).rejects.toMatchObject({ reason: DATABASE_UNAVAILABLE });
    const after = await backend(opened);
    expect(after).toBeGreaterThan(0);
    expect(after).not.toBe(before);
  });

  test('in a transaction: nothing more is sent over that connection', async () => {
    const { kysely } = await open();
    const work = kysely.transaction().execute(async (transaction) => {
      await sql`create table t (a int)`.execute(transaction);
      proxy.silence();
      await sql`insert into t values (1)`.execute(transaction);
    });
    await expect(work).rejects.toMatchObject({ reason: DATABASE_UNAVAILABLE });
    expect((await sql`select to_regclass('t') as found`.execute(kysely)).rows).toEqual([{ found: null }]);
  });

  test('is not what a statement that takes long is taken for, where it may', async () => {
    const { kysely, patient } = await open();
    const slow = sql`select pg_sleep(${(3 * STATEMENT_MS) / 1000})`;
    await expect(slow.execute(kysely)).rejects.toMatchObject({ reason: DATABASE_UNAVAILABLE });
    expect((await slow.execute(patient)).rows).toHaveLength(1);
  });

  test('keeps a run from being changed no longer than that: the change is made over a new connection', async () => {
    const store = await storeOn(await open(), tickingClock());
    const { id } = await store.runs.create({ kind: 'training', spec: {} });
    proxy.silence();
    const payload = { $case: 'workerChanged', value: { kind: '', address: '', change: '' } } as const;
    expect((await store.runs.append(id, payload)).lastSequence).toBe(2);
  });
});
