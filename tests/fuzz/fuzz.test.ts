import { afterAll, beforeAll, expect, test } from 'vitest';
import { collectGarbage } from '../../packages/service/src/memory.ts';
import { allTargets } from './all.ts';
import { orderly } from './parsers.ts';
import { fuzz, type Target } from './target.ts';

// The same as `npm run fuzz`, with another seed than its default, short enough for every change.
const INPUTS = 5000;
const SEED = 20_261_126;
/** What the garbage collector and the compute threads take in any case; at its highest, so that memory which was given back counts too. */
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
  const highest = process.resourceUsage().maxRSS * 1024;
  expect((highest - before) / 2 ** 20).toBeLessThan(GROWTH_MIB);
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

test.each([
  ['keeps', 'buffer', () => kept.push(Buffer.alloc(200 * 2 ** 20, 1))],
  ['lets go of', 'buffer', () => Buffer.alloc(200 * 2 ** 20, 1).length],
  ['keeps', 'list', () => kept.push(Array.from({ length: 20_000_000 }, (_, i) => i))],
])('a parser that takes and %s a large %s is found', async (_, __, work) => {
  collectGarbage({ type: 'major' });
  await expect(orderly(work)).rejects.toThrow(/^took \d+ MiB$/);
  kept.length = 0;
});

const kept: unknown[] = [];
