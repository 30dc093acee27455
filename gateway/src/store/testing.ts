import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { type Kysely, sql } from 'kysely';
import { afterAll, beforeAll, describe } from 'vitest';
import { type PostgresServer, postgresPrograms, startPostgres } from '../testing/postgres-server.ts';
import { type Database, openPostgres, pgliteDatabase } from './database.ts';
import type { Tables } from './schema.ts';
import { type Store, storeOn } from './store.ts';

const SEED = 'empty-postgresql-0.5.16.tar.gz';

/** An empty PostgreSQL in memory. Making one takes seconds, so the first test process keeps a copy for the others. */
export async function memoryDatabase(): Promise<PGlite> {
  const folder = join(tmpdir(), 'jsigr-tests');
  const seed = await readFile(join(folder, SEED)).catch(() => undefined);
  if (seed) return PGlite.create('memory://', { loadDataDir: new Blob([new Uint8Array(seed)]) });
  const database = await PGlite.create('memory://');
  const dump = Buffer.from(await (await database.dumpDataDir('gzip')).arrayBuffer());
  await mkdir(folder, { recursive: true });
  const partial = join(folder, `${randomUUID()}.partial`);
  await writeFile(partial, dump);
  await rename(partial, join(folder, SEED));
  return database;
}

/** A store in memory whose clock goes on by a second at every look. */
export async function memoryStore(): Promise<Store> {
  return storeOn(pgliteDatabase(await memoryDatabase()), tickingClock());
}

export function tickingClock(): () => Date {
  let seconds = Date.UTC(2026, 0, 1) / 1000;
  return () => new Date(seconds++ * 1000);
}

/** For `beforeAll`: on a busy machine the first PostgreSQL takes long. */
export const OPENING_MS = 120_000;

/** What the store's tests run on. */
export interface TestedDatabase {
  readonly name: string;
  /** A new, empty database. */
  open(): Promise<Database>;
  /** Another process' connection to the one that was opened last; undefined where nobody else can be let in. */
  openAgain(): Promise<Database | undefined>;
  /** Ends the server at once, as a power cut does, and starts it again. */
  interrupt(): Promise<void>;
}

/** The same tests on each kind of PostgreSQL. Where no server is installed its part is skipped, unless JSIGR_TEST_POSTGRES=required. */
export function onEachDatabase(tests: (database: TestedDatabase) => void): void {
  describe('on PGlite', () => {
    const open = async () => pgliteDatabase(await memoryDatabase());
    tests({ name: 'PGlite', open, openAgain: async () => undefined, interrupt: async () => {} });
  });
  const missing = postgresPrograms() === undefined && process.env.JSIGR_TEST_POSTGRES !== 'required';
  describe.skipIf(missing)('on a PostgreSQL server', () => {
    let server: PostgresServer;
    let url = '';
    beforeAll(async () => {
      server = await startPostgres();
    }, OPENING_MS);
    afterAll(() => server?.close());
    tests({
      name: 'PostgreSQL',
      async open() {
        url = await server.newDatabase();
        return openPostgres(url);
      },
      openAgain: () => openPostgres(url),
      async interrupt() {
        await server.kill();
        await server.start();
      },
    });
  });
}

/** Columns that schema versions brought with them, and what a gateway of their time wrote there. */
const COLUMNS: readonly { readonly since: number; readonly values: Readonly<Record<string, string>> }[] = [
  {
    since: 1,
    values: {
      ...{ id: 'old', kind: 'training', display_name: 'mine', spec: '{"epochs":3}', state: 'RUN_STATE_RUNNING' },
      ...{ reason: '', create_time: '2026-01-01T00:00:00Z', last_sequence: '3', labels: '{"team":"blue"}' },
      summary: '{"latestModel":"models/aa","latestReport":{"model":"models/aa","seconds":"NaN"}}',
    },
  },
  { since: 2, values: { state_sequence: '2', resume_point: '{"kind":"states","digest":"cc","step":1}' } },
  { since: 3, values: { tenant: 'default' } },
  {
    since: 4,
    values: { worker: '{"id":"trainer-1","address":"127.0.0.1:1","fencingToken":41}', worker_sequence: '9' },
  },
  { since: 5, values: { trace_parent: '00-01-02-01' } },
];

/** A run that goes on, its events and what belongs to it, as a gateway with that schema version wrote them. */
export async function writeAs(version: number, kysely: Kysely<Tables>): Promise<void> {
  const run = Object.assign({}, ...COLUMNS.filter(({ since }) => since <= version).map(({ values }) => values));
  const list = (each: readonly string[], quote: string) => each.map((text) => `${quote}${text}${quote}`).join(', ');
  for (const statement of [
    `insert into runs (${list(Object.keys(run), '"')}) values (${list(Object.values(run), "'")})`,
    `insert into run_events values
      ('old', 1, '2026-01-01T00:00:00Z', '{"sequence":1,"time":"2026-01-01T00:00:00.000Z","stateChanged":{"state":"RUN_STATE_QUEUED"}}'),
      ('old', 2, '2026-01-01T00:00:01Z', '{"sequence":2,"time":"2026-01-01T00:00:01.000Z","stateChanged":{"state":"RUN_STATE_RUNNING"}}'),
      ('old', 3, '2026-01-01T00:00:02Z', '{"sequence":3,"time":"2026-01-01T00:00:02.000Z","trainingProgress":{"step":1}}')`,
    `insert into request_ids (kind, request_id, fingerprint, run) values ('training', 'r1', 'f', 'old')`,
    `insert into models (digest, run, step, create_time, info) values ('aa', 'old', 1, '2026-01-01T00:00:00Z', '{"name":"models/aa","step":1}')`,
    `insert into datasets (id, digest, embedded, create_time, info) values
      ('mnist', 'dd', false, '2026-01-01T00:00:00Z', '{"name":"datasets/mnist","digest":"dd"}')`,
    `insert into sequences values ('fencing-token', 41)`,
  ])
    await sql.raw(statement).execute(kysely);
}
