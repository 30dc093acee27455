import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatasetError } from '../errors.ts';
import { MOST_FILE_BYTES } from '../limits.ts';

/** A file by its name in a directory. */
export interface NamedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * The first of `names` that is in the directory.
 * @throws DatasetError MISSING_FILE naming all of them, UNREADABLE_FILE, TOO_LARGE
 */
export async function readFirst(directory: string, names: readonly string[]): Promise<NamedFile> {
  for (const name of names) {
    const bytes = await readIfThere(directory, name);
    if (bytes) return { name, bytes };
  }
  const looked = names.length > 1 ? ` (looked for ${names.join(', ')})` : '';
  throw new DatasetError('MISSING_FILE', names[0] ?? '', `is not in ${directory}${looked}`);
}

async function readIfThere(directory: string, name: string): Promise<Uint8Array | undefined> {
  try {
    const path = join(directory, name);
    const status = await stat(path); // before it is opened: opening a pipe would wait for its other end
    if (!status.isFile()) throw new DatasetError('UNREADABLE_FILE', name, 'is not a regular file');
    if (status.size > MOST_FILE_BYTES)
      throw new DatasetError('TOO_LARGE', name, `has ${status.size} bytes, over ${MOST_FILE_BYTES}`);
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof DatasetError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code === 'ENOTDIR')
      throw new DatasetError('UNREADABLE_FILE', name, `${directory} is not a directory`, { cause });
    throw new DatasetError('UNREADABLE_FILE', name, `cannot be read (${code ?? cause})`, { cause });
  }
}
