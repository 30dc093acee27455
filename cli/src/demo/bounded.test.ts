import { expect, it } from 'vitest';
import { bounded } from './bounded.ts';

it('keeps the order, and at most so many at once', async () => {
  let running = 0;
  let most = 0;
  const doubled = await bounded([1, 2, 3, 4, 5], 2, async (value) => {
    most = Math.max(most, ++running);
    await Promise.resolve();
    running--;
    return value * 2;
  });
  expect({ doubled, most }).toEqual({ doubled: [2, 4, 6, 8, 10], most: 2 });
});

it('fails with the first failure', async () =>
  expect(
    bounded([1, 2], 1, async (value) => {
      throw new Error(`no ${value}`);
    }),
  ).rejects.toThrow('no 1'));
