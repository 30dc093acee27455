import { expect, test } from 'vitest';
import { Batcher } from './batcher.ts';

function recording(largest: number, fail?: string, during = (_signal: AbortSignal) => {}) {
  const batches: string[][] = [];
  const batcher = new Batcher<string, string>(
    async (jobs, signal) => {
      batches.push([...jobs]);
      if (jobs[0] === fail) throw new Error(`${fail} failed`);
      during(signal);
      return jobs.map((job) => job.toUpperCase());
    },
    { keyOf: (job) => job[0] ?? '', largest },
  );
  return { batches, batcher };
}

const never = new AbortController().signal;
const gone = (who: string) => new DOMException(`${who} has gone`, 'AbortError');

test('jobs that came together and fit together run together, in the order of the first of each kind', async () => {
  const { batches, batcher } = recording(3);
  const results = await Promise.all(['a1', 'b1', 'a2', 'a3', 'a4', 'b2'].map((job) => batcher.submit(job, never)));
  expect(results).toEqual(['A1', 'B1', 'A2', 'A3', 'A4', 'B2']);
  expect(batches).toEqual([['a1', 'a2', 'a3'], ['b1', 'b2'], ['a4']]);
});

test('a batch that fails fails its own jobs only', async () => {
  const { batcher } = recording(3, 'a1');
  const results = await Promise.allSettled(['a1', 'a2', 'b1'].map((job) => batcher.submit(job, never)));
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
});

test('a result that is an error is that of its own job alone', async () => {
  const run = async (jobs: readonly string[]) => jobs.map((job) => (job === 'a2' ? new Error('no ink') : job));
  const batcher = new Batcher<string, string>(run, { keyOf: () => '', largest: 3 });
  const results = await Promise.allSettled(['a1', 'a2', 'a3'].map((job) => batcher.submit(job, never)));
  expect(results).toEqual([
    { status: 'fulfilled', value: 'a1' },
    { status: 'rejected', reason: new Error('no ink') },
    { status: 'fulfilled', value: 'a3' },
  ]);
});

test('a job whose caller has gone is not begun', async () => {
  const { batches, batcher } = recording(3);
  const results = await Promise.allSettled([
    batcher.submit('a1', AbortSignal.abort(gone('a1'))),
    batcher.submit('a2', never),
    batcher.submit('b1', AbortSignal.abort(gone('b1'))),
  ]);
  expect(results).toEqual([
    { status: 'rejected', reason: gone('a1') },
    { status: 'fulfilled', value: 'A2' },
    { status: 'rejected', reason: gone('b1') },
  ]);
  expect(batches).toEqual([['a2']]);
});

test('a batch is told to end once all of its callers have gone, not before', async () => {
  const callers = [new AbortController(), new AbortController()];
  const seen: boolean[] = [];
  const { batcher } = recording(2, undefined, (signal) => {
    for (const [i, caller] of callers.entries()) {
      seen.push(signal.aborted);
      signal.throwIfAborted();
      caller.abort(gone(`caller ${i}`));
    }
    seen.push(signal.aborted);
    signal.throwIfAborted();
  });
  const results = await Promise.allSettled(callers.map(({ signal }, i) => batcher.submit(`a${i}`, signal)));
  expect(seen).toEqual([false, false, true]);
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
});
