import { randomUUID } from 'node:crypto';
import { link, mkdir, open, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { failedPrecondition, type JsigrError } from '@jsigr/service';
import * as z from 'zod';
import { keepLock } from './lock-keeper.ts';
import { isAlive, processStart } from './process-identity.ts';

const LOCK = 'gateway.json';
/** Held for the moment in which a stale lock is replaced. */
const TAKEOVER = '.gateway-takeover';
const TAKEOVER_MS = 10_000;
/** How often a holder touches its lock, and how many of those times may go by before it counts as gone elsewhere. */
const TOUCH_MS = 5000;
const TOUCHES = 3;
const LOOK_MS = 500;

const lockSchema = z.object({
  pid: z.int().min(1),
  /** Tells a process from a later one with the same pid; empty where the system does not say. */
  processStart: z.string(),
  /** Name of the machine, container or pod: a pid means nothing in another one. Absent in locks of earlier versions. */
  host: z.string().optional(),
  /** Tells this lock from every other one. */
  instance: z.string(),
  /** host:port; absent while the gateway starts. */
  grpcAddress: z.string().optional(),
  httpAddress: z.string().optional(),
  /** The gateway ends with the command that started it. */
  embedded: z.boolean().optional(),
  /** Whoever can read this file may do everything: it is the owner of the data. */
  ownerToken: z.string().optional(),
  /** How clients on this machine make sure of the gateway; absent where nothing is encrypted. */
  tls: z.object({ ca: z.string(), serverName: z.string().optional() }).optional(),
});
export type Lock = z.output<typeof lockSchema>;

export interface LockOptions {
  /** Name of this machine, container or pod. */
  readonly host?: string;
  /** How often the lock is touched, in milliseconds. */
  readonly touchMs?: number;
  /** Told before the holder of a lock from elsewhere is watched. */
  readonly onWaiting?: (why: string) => void;
  /** Told that the directory is another gateway's by now: nothing may be written to it any more. */
  readonly onLost?: (error: JsigrError) => void;
}

/** A lock that this process holds. */
export interface HeldLock {
  readonly lock: Lock;
  /** Says more in the lock file. @throws JsigrError DATA_DIRECTORY_LOST */
  change(more: Partial<Lock>): Promise<void>;
  release(): Promise<void>;
}

/** As it was found in the file, and when that was last touched, by whatever clock. */
interface Found {
  readonly lock: Lock;
  readonly touched: number;
}

/** @throws JsigrError DATA_DIRECTORY_IN_USE */
export async function takeLock(path: string, options: LockOptions = {}): Promise<HeldLock> {
  const { host = hostname(), touchMs = TOUCH_MS, onWaiting = () => {}, onLost = () => {} } = options;
  const lock = { pid: process.pid, processStart: await processStart(process.pid), host, instance: randomUUID() };
  while (!(await createLock(path, lock))) {
    const found = await readLock(path);
    const fate = found ? await fateOf(path, found, { host, touchMs, onWaiting }) : 'gone';
    if (fate === 'holds it') throw inUse(path, found?.lock, host);
    if (fate === 'gave it back') continue;
    await takeOver(path, found, lock);
    break;
  }
  const isLost = (by?: Lock) => lost(path, by);
  const file = join(path, LOCK);
  const keeper = keepLock({ file, instance: lock.instance, touchMs }, () => {
    void findLock(path).then((found) => onLost(isLost(found?.lock)));
  });
  return {
    lock,
    async change(more) {
      const found = await readLock(path);
      if (found?.lock.instance !== lock.instance) throw isLost(found?.lock);
      await replaceLock(path, { ...lock, ...more });
    },
    async release() {
      await keeper.stop();
      const found = await findLock(path);
      if (found?.lock.instance === lock.instance) await unlink(file).catch(() => undefined);
    },
  };
}

/** The lock on a data directory, if a living process of this machine holds it. */
export async function holderOf(directory: string): Promise<Lock | undefined> {
  const found = await findLock(resolve(directory));
  return found && (await isAlive(found.lock)) ? found.lock : undefined;
}

/** What has become of the holder of a lock. On this machine that is known; elsewhere it is watched whether the lock is still touched. */
async function fateOf(
  path: string,
  { lock, touched }: Found,
  { host, touchMs, onWaiting }: Required<Pick<LockOptions, 'host' | 'touchMs' | 'onWaiting'>>,
): Promise<'holds it' | 'gave it back' | 'gone'> {
  const isHere = lock.host === undefined || lock.host === host;
  // The name of a machine may change while a process of it goes on.
  const isCertain = isHere || lock.processStart !== '';
  if (isCertain && (await isAlive(lock))) return 'holds it';
  if (isHere) return 'gone';
  const mostMs = TOUCHES * touchMs;
  onWaiting(
    `${lock.host} had the data directory ${path}; it is watched for ${mostMs / 1000} s whether it still has it`,
  );
  for (const until = performance.now() + mostMs; performance.now() < until; ) {
    await setTimeout(Math.min(LOOK_MS, touchMs / 10));
    const now = await readLock(path);
    if (!now) return 'gave it back';
    if (now.lock.instance !== lock.instance || now.touched !== touched) return 'holds it';
  }
  return 'gone';
}

/** Replaces the lock of a holder that is gone. Of several that try at once one wins. */
async function takeOver(path: string, stale: Found | undefined, lock: Lock): Promise<void> {
  const mutex = join(path, TAKEOVER);
  await removeAbandoned(mutex);
  await mkdir(mutex).catch((error) => {
    throw error.code === 'EEXIST' ? inUse(path) : error;
  });
  try {
    const found = await readLock(path);
    if (found?.lock.instance !== stale?.lock.instance || found?.touched !== stale?.touched)
      throw inUse(path, found?.lock, lock.host);
    await rm(join(path, LOCK), { force: true });
    if (!(await createLock(path, lock))) throw inUse(path, (await readLock(path))?.lock, lock.host);
  } finally {
    await rmdir(mutex).catch(() => undefined);
  }
}

async function removeAbandoned(mutex: string): Promise<void> {
  const found = await stat(mutex).catch(() => undefined);
  // One from the future was left before the clock was put back.
  if (found && Math.abs(Date.now() - found.mtimeMs) > TAKEOVER_MS)
    await rm(mutex, { recursive: true, force: true }).catch(() => undefined);
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

/** @returns undefined where there is none, or one half written by a process that died: whoever wants the directory may have it. */
async function readLock(path: string): Promise<Found | undefined> {
  // Opened, and not only looked at: a network file system remembers for up to a minute what a file was like, but asks when it is opened.
  const file = await open(join(path, LOCK)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!file) return undefined;
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new Error(`${join(path, LOCK)} is no file`);
    const lock = parsed(await file.readFile('utf8'));
    return lock && { lock, touched: found.mtimeMs };
  } finally {
    await file.close();
  }
}

function parsed(text: string): Lock | undefined {
  try {
    return lockSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** The same for those who only want to know: what cannot be read is none. */
function findLock(path: string): Promise<Found | undefined> {
  return readLock(path).catch(() => undefined);
}

function inUse(path: string, lock?: Lock, host?: string): JsigrError {
  return failedPrecondition(
    'DATA_DIRECTORY_IN_USE',
    `the data directory ${path} is taken: ${holderInWords(lock, host)}`,
    'talk to that gateway, stop it, or choose another data directory',
  );
}

function holderInWords(lock: Lock | undefined, host: string | undefined): string {
  if (!lock) return 'another gateway is just starting on it';
  const who = lock.host === undefined || lock.host === host ? `process ${lock.pid}` : `on ${lock.host}`;
  return lock.grpcAddress
    ? `the gateway at ${lock.grpcAddress} (${who}) uses it`
    : `another gateway (${who}) is just starting on it`;
}

function lost(path: string, by: Lock | undefined): JsigrError {
  const whose = by
    ? `is that of another gateway by now (process ${by.pid}${by.host ? ` on ${by.host}` : ''})`
    : 'is gone';
  return failedPrecondition(
    'DATA_DIRECTORY_LOST',
    `the lock of the data directory ${path} ${whose}: this gateway ends at once, so that no two write to it`,
    `did the process, its machine or the file system stand still for more than ${(TOUCHES * TOUCH_MS) / 1000} s? A gateway that is started again waits for its turn`,
  );
}
