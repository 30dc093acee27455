import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ComputeThread, siblingModule, startComputeThread } from './compute.ts';
import { JsigrError } from './errors.ts';
import type { TestMethods } from './fixtures/thread.ts';

let thread: ComputeThread<TestMethods>;
const url = siblingModule(new URL('./fixtures/x.ts', import.meta.url).href, 'thread');

beforeEach(() => {
  thread = startComputeThread<TestMethods>(url);
});
afterEach(() => thread.close());

describe('a compute thread', () => {
  test('answers, and moves the buffers that it is told to move', async () => {
    const numbers = new Float32Array([1, 2, 3]);
    const doubled = await thread.call('double', numbers, { transfer: [numbers.buffer] });
    expect([...doubled]).toEqual([2, 4, 6]);
    expect(numbers.length).toBe(0);
  });

  test('delivers events in order, before the result', async () => {
    const seen: (number | string)[] = [];
    seen.push(await thread.call('count', 5, { onEvent: (event) => seen.push(event) }));
    expect(seen).toEqual([1, 2, 3, 4, 5, 'done']);
  });

  test('errors keep their class name, reason and field', async () => {
    const error = await thread.call('fail', { reason: 'INVALID_SETTING', field: 'epsilon' }).catch((error) => error);
    expect(error).toMatchObject({
      name: 'ThreadError',
      reason: 'INVALID_SETTING',
      field: 'epsilon',
      message: 'epsilon is wrong',
    });
    expect(JsigrError.from(error)).toMatchObject({
      reason: 'INVALID_SETTING',
      violations: [{ field: 'epsilon', description: 'epsilon is wrong' }],
    });
  });

  test('an abort rejects at once and stops the work in the thread', async () => {
    const controller = new AbortController();
    const work = thread.call('spin', undefined, { signal: controller.signal });
    expect(await thread.call('spinning', undefined)).toBe(1);
    controller.abort();
    await expect(work).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => thread.call('spinning', undefined)).toBe(0);
  });

  test('an abort stops work that never lets the event loop turn', async () => {
    const controller = new AbortController();
    const begun = new Promise<string>((resolve) => {
      thread.call('spinDeaf', undefined, { signal: controller.signal, onEvent: resolve }).catch(() => undefined);
    });
    expect(await begun).toBe('begun');
    controller.abort();
    expect(await thread.call('spinning', undefined)).toBe(0);
  });

  test('a call with an aborted signal is not made', async () => {
    await expect(thread.call('count', 1, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });

  test.each([
    ['exit' as const, 'exit code 3'],
    ['throw' as const, 'out of paper'],
  ])('that dies (%s) rejects its calls in plain words, and the next call starts another', async (how, words) => {
    const deaths: string[] = [];
    thread.onExit((error) => deaths.push(error.message));
    const error = await thread.call('die', how).catch((error) => error);
    expect(error).toMatchObject({ reason: 'COMPUTE_THREAD_DIED' });
    expect(error.message).toContain(words);
    expect(deaths).toHaveLength(1);
    expect(await thread.call('count', 1)).toBe('done');
  });

  test('once closed takes no more calls, and its death is no surprise', async () => {
    const deaths: Error[] = [];
    thread.onExit((error) => deaths.push(error));
    const pending = thread.call('spin', undefined).catch((error) => error.reason);
    await thread.close();
    expect(await pending).toBe('COMPUTE_THREAD_CLOSED');
    await expect(thread.call('count', 1)).rejects.toMatchObject({ reason: 'COMPUTE_THREAD_CLOSED' });
    expect(deaths).toEqual([]);
  });

  test('that hangs in native code is closed without waiting for it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'jsigr-pipe-'));
    const pipe = join(folder, 'pipe') as `/${string}`;
    execFileSync('mkfifo', [pipe]);
    const hanging = thread.call('hang', pipe).catch((error) => error.reason);
    const writer = await open(pipe, 'w'); // opens once there is a reader: it hangs
    await thread.close();
    expect(await hanging).toBe('COMPUTE_THREAD_CLOSED');
    await writer.close();
    rmSync(folder, { recursive: true });
  });

  describe('with a deadline for signs of life', () => {
    let watched: ComputeThread<TestMethods>;
    beforeEach(async () => {
      watched = startComputeThread<TestMethods>(url, { silenceMs: 2500 });
      // It has started: what a test waits for is not its modules.
      await watched.call('spinning', undefined);
    });
    afterEach(() => watched.close());

    test.each(['waiting', 'native'] as const)(
      'that hangs (%s) is given up, and the next call starts another',
      async (how) => {
        const deaths: string[] = [];
        watched.onExit((error) => deaths.push(error.message));
        const waiting = watched.call('count', 1).then(() => watched.call('hang', how));
        const error = await waiting.catch((error) => error);
        expect(error).toMatchObject({
          reason: 'COMPUTE_THREAD_SILENT',
          message: 'the computing thread gave no sign of life for 2.5 s and was ended',
        });
        expect(JsigrError.from(error).code).toBe(status.UNAVAILABLE);
        expect(deaths).toEqual([error.message]);
        expect(await watched.call('count', 1)).toBe('done');
      },
    );

    test('that looks at its signal is alive, however long it works; so is one that has nothing to do', async () => {
      expect(await watched.call('work', 5000)).toBe('done');
      await setTimeout(4000);
      expect(await watched.call('count', 1)).toBe('done');
    });
  });
});
