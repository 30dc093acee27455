import { randomUUID } from 'node:crypto';
import { constants, existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const { dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

/** Folder of an empty embedded database, made by `npm run build` for the PGlite that is installed. */
export const seedDirectory = fileURLToPath(
  new URL(`../../seed/pglite-${dependencies['@electric-sql/pglite']}`, import.meta.url),
);

/**
 * Puts a copy of the empty database where there is none yet; a copy that was cut off is none. Without a seed (sources that were never built) PGlite
 * makes a database itself, which takes longer.
 */
export async function seed(directory: string): Promise<void> {
  const parent = dirname(directory);
  await sweepPartials(parent);
  if (existsSync(directory) || !existsSync(seedDirectory)) return;
  await mkdir(parent, { recursive: true });
  const partial = join(parent, `.db-${randomUUID()}.partial`);
  try {
    // Folders may be open to others than the owner in an installation.
    await mkdir(partial, { mode: 0o700 });
    await cp(seedDirectory, partial, { recursive: true, mode: constants.COPYFILE_FICLONE });
    await rename(partial, directory);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

/** Copies that a gateway was killed in: the data directory is this gateway's alone. */
async function sweepPartials(parent: string): Promise<void> {
  for (const name of await readdir(parent).catch(() => []))
    if (/^\.db-.*\.partial$/.test(name)) await rm(join(parent, name), { recursive: true, force: true });
}
