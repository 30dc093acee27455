import { expect, test } from 'vitest';
import { Batcher } from './batcher.ts';

function recording(largest: number, fail?: string) {
  const batches: string[][] = [];
  const batcher = new Batcher<string, string>(
    async (jobs) => {
      batches.push([...jobs]);
      if (jobs[0] === fail) throw new Error(`${fail} failed`);
      return jobs.map((job) => job.toUpperCase());
    },
    { keyOf: (job) => job[0] ?? '', largest },
  );
  return { batches, batcher };
}

test('jobs that came together and fit together run together, in the order of the first of each kind', async () => {
  const { batches, batcher } = recording(3);
  const results = await Promise.all(['a1', 'b1', 'a2', 'a3', 'a4', 'b2'].map((job) => batcher.submit(job)));
  expect(results).toEqual(['A1', 'B1', 'A2', 'A3', 'A4', 'B2']);
  expect(batches).toEqual([['a1', 'a2', 'a3'], ['b1', 'b2'], ['a4']]);
});

test('a batch that fails fails its own jobs only', async () => {
  const { batcher } = recording(3, 'a1');
  const results = await Promise.allSettled(['a1', 'a2', 'b1'].map((job) => batcher.submit(job)));
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
});
