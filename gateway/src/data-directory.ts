import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, rename, rm, rmdir, stat, unlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { status } from '@grpc/grpc-js';
import { failedPrecondition, JsigrError } from '@jsigr/service';
import * as z from 'zod';
import { isAlive, processStart } from './process-identity.ts';

const LOCK = 'gateway.json';
/** Held for the moment in which a stale lock is replaced. */
const TAKEOVER = '.gateway-takeover';
const TAKEOVER_MS = 10_000;

const lockSchema = z.object({
  pid: z.int().min(1),
  /** Tells a process from a later one with the same pid; empty where the system does not say. */
  processStart: z.string(),
  /** Tells this lock from every other one. */
  instance: z.string(),
  /** host:port; absent while the gateway starts. */
  grpcAddress: z.string().optional(),
  httpAddress: z.string().optional(),
  /** Whoever can read this file may do everything: it is the owner of the data. */
  ownerToken: z.string().optional(),
  /** How clients on this machine make sure of the gateway; absent where nothing is encrypted. */
  tls: z.object({ ca: z.string(), serverName: z.string().optional() }).optional(),
});
export type Lock = z.output<typeof lockSchema>;

export interface Addresses {
  readonly grpcAddress: string;
  readonly httpAddress?: string;
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
  /** Says in the lock file where the gateway listens. */
  announce(addresses: Addresses): Promise<void>;
  /** Gives the directory back, and removes it if this process made it and nothing was put into it. */
  release(): Promise<void>;
}

/**
 * Makes the directory (0700) if it is not there, and takes it for this process.
 * @throws JsigrError DATA_DIRECTORY_IN_USE with the address of the gateway that has it; DATA_DIRECTORY_UNUSABLE.
 */
export async function takeDataDirectory(directory: string): Promise<DataDirectory> {
  const path = resolve(directory);
  const lock: Lock = { pid: process.pid, processStart: await processStart(process.pid), instance: randomUUID() };
  const ownerToken = `owner.${randomBytes(32).toString('base64url')}`;
  const made = await usable(path, () => makeDirectory(path));
  try {
    await usable(path, () => takeLock(path, lock));
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
    announce: (addresses) => usable(path, () => replaceLock(path, { ...lock, ...addresses, ownerToken })),
    async release() {
      const found = await readLock(path);
      if (found?.instance === lock.instance) await unlink(join(path, LOCK)).catch(() => undefined);
      if (made) await rmdir(path).catch(() => undefined);
    },
  };
}

/** The lock on a data directory, if a living process holds it. */
export async function holderOf(directory: string): Promise<Lock | undefined> {
  const lock = await readLock(resolve(directory));
  return lock && (await isAlive(lock)) ? lock : undefined;
}

const SECRET_BYTES = 32;

async function readSecret(path: string): Promise<Buffer> {
  const found = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found?.length === SECRET_BYTES) return found;
  if (found) throw new Error(`${path} has ${found.length} bytes, not ${SECRET_BYTES}`);
  const secret = randomBytes(SECRET_BYTES);
  await writeFile(path, secret, { mode: 0o600, flag: 'wx', flush: true });
  return secret;
}

/** @returns whether it was made just now. */
async function makeDirectory(path: string): Promise<boolean> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  // The umask may have taken bits away that the owner needs, and an earlier version of a folder may be open to others.
  if (made !== undefined) await chmod(path, 0o700);
  return made !== undefined;
}

async function takeLock(path: string, lock: Lock): Promise<void> {
  if (await createLock(path, lock)) return;
  const found = await readLock(path);
  if (found && (await isAlive(found))) throw inUse(path, found);
  await takeOver(path, found, lock);
}

/** Replaces the lock of a process that is gone. Of several that try at once one wins. */
async function takeOver(path: string, stale: Lock | undefined, lock: Lock): Promise<void> {
  const mutex = join(path, TAKEOVER);
  await removeAbandoned(mutex);
  await mkdir(mutex).catch((error) => {
    throw error.code === 'EEXIST' ? inUse(path) : error;
  });
  try {
    const found = await readLock(path);
    if (found?.instance !== stale?.instance) throw inUse(path, found);
    await rm(join(path, LOCK), { force: true });
    if (!(await createLock(path, lock))) throw inUse(path, await readLock(path));
  } finally {
    await rmdir(mutex).catch(() => undefined);
  }
}

async function removeAbandoned(mutex: string): Promise<void> {
  const found = await stat(mutex).catch(() => undefined);
  if (found && found.mtimeMs < Date.now() - TAKEOVER_MS) await rmdir(mutex).catch(() => undefined);
}

/** @returns false when there is a lock file already. */
async function createLock(path: string, lock: Lock): Promise<boolean> {
  const partial = await writePartial(path, lock);
  try {
    // Not open(..., 'wx'): others would see the file while it is still empty, and take it for a stale one.
    await link(partial, join(path, LOCK));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(partial);
  }
}

async function replaceLock(path: string, lock: Lock): Promise<void> {
  await rename(await writePartial(path, lock), join(path, LOCK));
}

async function writePartial(path: string, lock: Lock): Promise<string> {
  const partial = join(path, `.${LOCK}.${randomUUID()}`);
  const file = await open(partial, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(lock, undefined, 2)}\n`);
    await file.sync();
    return partial;
  } catch (error) {
    await unlink(partial).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
}

async function readLock(path: string): Promise<Lock | undefined> {
  try {
    return lockSchema.parse(JSON.parse(await readFile(join(path, LOCK), 'utf8')));
  } catch {
    // Absent, or half written by a process that died: whoever wants the directory may have it.
    return undefined;
  }
}

function inUse(path: string, lock?: Lock): JsigrError {
  const by = lock?.grpcAddress
    ? `the gateway at ${lock.grpcAddress} (process ${lock.pid}) uses it`
    : `another gateway${lock ? ` (process ${lock.pid})` : ''} is just starting on it`;
  return failedPrecondition(
    'DATA_DIRECTORY_IN_USE',
    `the data directory ${path} is taken: ${by}`,
    'talk to that gateway, stop it, or choose another data directory',
  );
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
