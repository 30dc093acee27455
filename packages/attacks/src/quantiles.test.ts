import { expect, test } from 'vitest';
import { quantilesOf } from './quantiles.ts';

const upTo = (count: number) => Array.from({ length: count }, (_, i) => count - i);

// Ranks of the median's 95 % interval from tables of the sign test, e.g. Conover, Practical Nonparametric Statistics, table A3.
test.each([
  { count: 6, median: 3, low: 1, high: 6 },
  { count: 10, median: 5, low: 2, high: 9 },
  { count: 20, median: 10, low: 6, high: 15 },
  { count: 50, median: 25, low: 18, high: 33 },
])('the median of $count values lies between the values of ranks $low and $high', ({ count, median, low, high }) => {
  expect(quantilesOf(upTo(count), [0.5])).toEqual([{ share: 0.5, epsilon: median, low, high }]);
});

test('a few values say little: the interval begins at 0 and has no end', () => {
  expect(quantilesOf([1, 2, 3, 4, 5], [0.5])).toEqual([{ share: 0.5, epsilon: 3, low: 0, high: undefined }]);
});

test('quarters, where some were never reached', () => {
  const radii = [...upTo(60), ...Array.from({ length: 40 }, () => Number.POSITIVE_INFINITY)];
  const [quarter, half, threeQuarters] = quantilesOf(radii);
  expect(quarter).toMatchObject({ share: 0.25, epsilon: 25 });
  expect(half).toMatchObject({ epsilon: 50, low: 40, high: undefined });
  expect(threeQuarters).toMatchObject({ epsilon: undefined, high: undefined });
});
