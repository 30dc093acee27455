import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { mkdtemp, readFile, rm, unlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JsigrError } from '@jsigr/service';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { holderOf, type LockOptions, takeLock } from './directory-lock.ts';

let root: string;
let path: string;
let file: string;
/** A process that is gone: of another pod nothing more can be seen from here, dead or alive. */
let pid: number;
const held: { release(): Promise<void> }[] = [];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-lock-'));
  const child = spawn(process.execPath, ['--eval', '']);
  await once(child, 'exit');
  pid = child.pid ?? 0;
});
beforeEach(async () => {
  path = await mkdtemp(join(root, 'data-'));
  file = join(path, 'gateway.json');
});
afterEach(async () => {
  for (const lock of held.splice(0)) await lock.release();
});
afterAll(() => rm(root, { recursive: true }));

async function take(options: LockOptions) {
  const lock = await takeLock(path, { host: 'pod-b', ...options });
  held.push(lock);
  return lock;
}
const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => JsigrError.from(error),
  );
/** Left, or still held, in a pod that has another name. */
const leave = (more: object = {}) =>
  writeFile(file, JSON.stringify({ pid, processStart: '1', instance: 'old', host: 'pod-a', ...more }));
const instance = async () => JSON.parse(await readFile(file, 'utf8')).instance;

describe('the lock of another pod', () => {
  test('is held for as long as somebody touches it there, whatever the clocks say', async () => {
    await leave({ grpcAddress: 'pod-a:7460' });
    let times = 0;
    // In the past, and going back: nothing but the change counts.
    const touching = setInterval(() => void utimes(file, 1000 - times, 1000 - times++), 50);
    const error = await failure(take({ touchMs: 2000 }));
    clearInterval(touching);
    expect(error).toMatchObject({
      reason: 'DATA_DIRECTORY_IN_USE',
      message: expect.stringContaining('the gateway at pod-a:7460 (on pod-a) uses it'),
    });
    expect(await instance()).toBe('old');
  });

  test('is taken over once nobody has touched it for three times, and not before that was watched', async () => {
    await leave();
    const onWaiting = vi.fn();
    const { lock } = await take({ touchMs: 100, onWaiting });
    expect(onWaiting).toHaveBeenCalledExactlyOnceWith(
      `pod-a had the data directory ${path}; it is watched for 0.3 s whether it still has it`,
    );
    expect(await instance()).toBe(lock.instance);
    expect(lock).toMatchObject({ pid: process.pid, host: 'pod-b' });
  });

  test('that is given back meanwhile is taken at once', async () => {
    await leave();
    // A hundred seconds would have to go by, and the test has five.
    const taking = take({ touchMs: 33_000, onWaiting: () => void unlink(file) });
    expect(await instance().catch(() => 'none')).toMatch(/old|none/);
    expect((await taking).lock.host).toBe('pod-b');
  });

  test('without the name of one, or of this one, counts as before: its process is gone', async () => {
    for (const host of [undefined, 'pod-b']) {
      await leave({ host });
      const onWaiting = vi.fn();
      const lock = await takeLock(path, { host: 'pod-b', touchMs: 33_000, onWaiting });
      expect(onWaiting).not.toHaveBeenCalled();
      await lock.release();
    }
  });

  test.skipIf(process.platform !== 'linux')('that is the same process under another name is held', async () => {
    await take({ host: 'before', touchMs: 33_000 });
    expect(await failure(take({ host: 'after', touchMs: 33_000 }))).toMatchObject({ reason: 'DATA_DIRECTORY_IN_USE' });
    expect(await holderOf(path)).toMatchObject({ host: 'before' });
  });
});

describe('a holder', () => {
  test('touches its lock, whatever keeps its own thread busy', async () => {
    await take({ touchMs: 50 });
    await utimes(file, 0, 0);
    expect(statSync(file).mtimeMs).toBe(0);
    // As the embedded database does: nothing else of this thread gets its turn.
    const begun = performance.now();
    while (statSync(file).mtimeMs === 0 && performance.now() - begun < 20_000);
    expect(statSync(file).mtimeMs).toBeGreaterThan(0);
  }, 30_000);

  test.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'is that of another',
      () => leave(),
      /is that of another gateway by now \(process \d+ on pod-a\): this gateway ends/,
    ],
    ['is gone', () => unlink(file), /is gone: this gateway ends/],
  ])('whose lock %s is told, and leaves it alone', async (_, happen, words) => {
    const onLost = vi.fn();
    const lock = await take({ touchMs: 50, onLost });
    await happen();
    await vi.waitFor(() => expect(onLost).toHaveBeenCalledOnce(), { timeout: 5000 });
    expect(onLost.mock.calls[0]?.[0]).toMatchObject({
      reason: 'DATA_DIRECTORY_LOST',
      message: expect.stringMatching(words),
    });
    const before = await readFile(file, 'utf8').catch(() => 'none');
    await expect(lock.change({ grpcAddress: 'pod-b:7460' })).rejects.toMatchObject({ reason: 'DATA_DIRECTORY_LOST' });
    await lock.release();
    expect(await readFile(file, 'utf8').catch(() => 'none')).toBe(before);
  });
});
