import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rmdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { status } from '@grpc/grpc-js';
import { JsigrError } from '@jsigr/service';
import { type HeldLock, type Lock, type LockOptions, takeLock } from './directory-lock.ts';

export interface Addresses {
  readonly grpcAddress: string;
  readonly httpAddress?: string;
  readonly embedded?: boolean;
  readonly tls?: Lock['tls'];
}

/** A data directory that belongs to this process until `release`. */
export interface DataDirectory {
  readonly path: string;
  readonly database: string;
  readonly artefacts: string;
  readonly audit: string;
  /** For whoever can read the lock file; another one at every start. */
  readonly ownerToken: string;
  /** 32 random bytes, made when they are first asked for, that stay. */
  secret(): Promise<Buffer>;
  /** Says in the lock file where the gateway listens. @throws JsigrError DATA_DIRECTORY_LOST */
  announce(addresses: Addresses): Promise<void>;
  /** Gives the directory back, and removes it if this process made it and nothing was put into it. */
  release(): Promise<void>;
}

/**
 * Makes the directory (0700) if it is not there, and takes it for this process. One that a gateway of another machine, container or pod had is watched
 * first.
 * @throws JsigrError DATA_DIRECTORY_IN_USE with the address of the gateway that has it; DATA_DIRECTORY_UNUSABLE.
 */
export async function takeDataDirectory(directory: string, options: LockOptions = {}): Promise<DataDirectory> {
  const path = resolve(directory);
  const ownerToken = `owner.${randomBytes(32).toString('base64url')}`;
  const made = await usable(path, () => makeDirectory(path));
  let lock: HeldLock;
  try {
    lock = await usable(path, () => takeLock(path, options));
  } catch (error) {
    if (made) await rmdir(path).catch(() => undefined);
    throw error;
  }
  return {
    path,
    database: join(path, 'db'),
    artefacts: join(path, 'artefacts'),
    audit: join(path, 'audit.jsonl'),
    ownerToken,
    secret: () => usable(path, () => readSecret(join(path, 'secret'))),
    announce: (addresses) => usable(path, () => lock.change({ ...addresses, ownerToken })),
    async release() {
      await lock.release();
      if (made) await rmdir(path).catch(() => undefined);
    },
  };
}

const SECRET_BYTES = 32;

async function readSecret(path: string): Promise<Buffer> {
  const found = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new Error(`${path} cannot be read: ${error.message}`, { cause: error });
  });
  if (found?.length === SECRET_BYTES) return found;
  if (found)
    throw new Error(`${path} has ${found.length} bytes, not ${SECRET_BYTES}: restore it, or remove it for a new one`);
  const secret = randomBytes(SECRET_BYTES);
  // Under another name first: a gateway that is killed in between would leave half a secret, with which none starts.
  await writeFile(`${path}.partial`, secret, { mode: 0o600, flush: true });
  await rename(`${path}.partial`, path);
  return secret;
}

/** @returns whether it was made just now. */
async function makeDirectory(path: string): Promise<boolean> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  // The umask may have taken bits away that the owner needs, and an earlier version of a folder may be open to others.
  if (made !== undefined) await chmod(path, 0o700);
  return made !== undefined;
}

/** What a full or read-only disk, or a file in the way, becomes. */
async function usable<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof JsigrError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const full = code === 'ENOSPC' || code === 'EDQUOT';
    throw new JsigrError({
      code: full ? status.RESOURCE_EXHAUSTED : status.FAILED_PRECONDITION,
      reason: 'DATA_DIRECTORY_UNUSABLE',
      message: `the data directory ${path} cannot be used: ${full ? 'the disk is full' : message}`,
      hint: full
        ? 'free space, or choose another data directory'
        : 'check the folder and its owner, or choose another data directory',
      cause: error,
    });
  }
}
