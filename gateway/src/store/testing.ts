import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe } from 'vitest';
import { type PostgresServer, postgresPrograms, startPostgres } from '../testing/postgres-server.ts';
import { type Database, openPostgres, pgliteDatabase } from './database.ts';
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
