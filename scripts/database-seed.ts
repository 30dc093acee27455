// Makes the empty database that gateways begin with (gateway/seed, not committed): making one takes seconds and 100 MB more of memory than copying one.
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { seedDirectory } from '../gateway/src/store/seed.ts';

if (!existsSync(seedDirectory)) {
  const partial = `${seedDirectory}.partial-${process.pid}`;
  mkdirSync(dirname(seedDirectory), { recursive: true });
  const database = await PGlite.create(partial);
  await database.close();
  // It holds nothing of anybody's, and whoever runs a gateway must be able to read it; the copy lies in a folder that its owner alone may open.
  for (const entry of readdirSync(partial, { recursive: true, withFileTypes: true }))
    chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  chmodSync(partial, 0o755);
  try {
    renameSync(partial, seedDirectory);
  } catch (error) {
    // Another build was faster.
    if (!existsSync(seedDirectory)) throw error;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}
