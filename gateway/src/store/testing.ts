import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
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
  let seconds = Date.UTC(2026, 0, 1) / 1000;
  return storeOn(await memoryDatabase(), () => new Date(seconds++ * 1000));
}

/** For `beforeAll`: on a busy machine the first PostgreSQL takes long. */
export const OPENING_MS = 120_000;
