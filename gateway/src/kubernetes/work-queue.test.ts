import { createLogger } from '@jsigr/service';
import { expect, test, vi } from 'vitest';
import { deferred } from '../deferred.ts';
import { WorkQueue } from './work-queue.ts';

const logger = createLogger('test', 'silent');

test('a key is worked on by one worker, and once more when it is added meanwhile', async () => {
  const gates = [deferred<void>(), deferred<void>()];
  const begun: string[] = [];
  const queue = new WorkQueue({
    logger,
    work: async (key) => gates[begun.push(key) - 1]?.promise as Promise<undefined>,
  });
  queue.add('a');
  queue.add('a');
  queue.add('a');
  expect(begun).toEqual(['a']);
  gates[0]?.resolve();
  await vi.waitFor(() => expect(begun).toEqual(['a', 'a']));
  gates[1]?.resolve();
  await vi.waitFor(() => expect(queue.idle).toBe(true));
  expect(begun).toEqual(['a', 'a']);
});

test('so many keys at once; the others in their order', async () => {
  const gate = deferred<void>();
  const begun: string[] = [];
  const queue = new WorkQueue({
    logger,
    workers: 2,
    async work(key) {
      begun.push(key);
      await gate.promise;
      return undefined;
    },
  });
  for (const key of ['a', 'b', 'c', 'd']) queue.add(key);
  expect(begun).toEqual(['a', 'b']);
  gate.resolve();
  await vi.waitFor(() => expect(begun).toEqual(['a', 'b', 'c', 'd']));
});

test('what fails is tried again, later each time; others do not wait for it', async () => {
  const times: number[] = [];
  const done: string[] = [];
  const queue = new WorkQueue({
    logger,
    retryMs: 10,
    async work(key) {
      if (key === 'good') return void done.push(key);
      times.push(performance.now());
      if (times.length < 4) throw new Error('not yet');
      done.push(key);
    },
  });
  queue.add('bad');
  queue.add('good');
  await vi.waitFor(() => expect(done).toEqual(['good', 'bad']));
  const pauses = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  // Node's timers may fire a millisecond early.
  expect(pauses.map((pause, i) => pause >= 10 * 2 ** i - 1.5)).toEqual([true, true, true]);
});

test('work says itself when it wants to be done again', async () => {
  let count = 0;
  const queue = new WorkQueue({ logger, work: async () => (++count < 3 ? 1 : undefined) });
  queue.add('a');
  await vi.waitFor(() => expect(count).toBe(3));
  await queue.close();
  queue.add('a');
  expect(count).toBe(3);
});

test('what is to be worked on later is worked on at the sooner of two times', async () => {
  const begun: string[] = [];
  const queue = new WorkQueue({
    logger,
    async work(key) {
      begun.push(key);
      return undefined;
    },
  });
  queue.addAfter('a', 60_000);
  queue.addAfter('a', 5);
  queue.addAfter('a', 60_000);
  await vi.waitFor(() => expect(begun).toEqual(['a']));
  await queue.close();
});
