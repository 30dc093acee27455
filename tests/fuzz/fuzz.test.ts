import { afterAll, beforeAll, expect, test } from 'vitest';
import { allTargets } from './all.ts';
import { fuzz, type Target } from './target.ts';

// The same as `npm run fuzz`, with another seed than its default, short enough for every change.
const INPUTS = 5000;
const SEED = 20_261_126;
/** What the garbage collector and the compute threads take in any case. */
const GROWTH_MIB = 600;

let targets: readonly Target[];
let close: () => Promise<void>;
beforeAll(async () => {
  ({ targets, close } = await allTargets());
}, 120_000);
afterAll(() => close());

test(`${INPUTS} requests and files, most of them bad: each is taken or refused in an orderly way`, async () => {
  const before = process.memoryUsage().rss;
  const { inputs, findings } = await fuzz(targets, { inputs: INPUTS, seed: SEED });
  expect(findings).toEqual([]);
  expect(inputs).toBeGreaterThanOrEqual(INPUTS);
  expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(GROWTH_MIB);
}, 600_000);

test('a target that does not keep order is found, with the smallest input that shows it', async () => {
  const { default: fc } = await import('fast-check');
  const planted = {
    name: 'planted',
    input: fc.string(),
    check: async (text: string) => {
      if (text.includes('a')) throw new Error('INTERNAL: it had an a');
      return 'OK';
    },
  } as unknown as Target;
  const { findings } = await fuzz([planted], { inputs: 2000, seed: 1 });
  expect(findings).toEqual([{ target: 'planted', error: 'INTERNAL: it had an a', input: '["a"]' }]);
});
