import { describe, expect, test } from 'vitest';
import { clopperPearson, incompleteBeta, mcnemar, proportion, wilson } from './statistics.ts';

describe('Clopper-Pearson', () => {
  // Golden values computed with SciPy's beta quantiles.
  test.each([
    { count: 8, total: 10, low: 0.4439045, high: 0.9747893 },
    { count: 9990, total: 10_000, low: 0.9981617, high: 0.9995204 },
  ])('$count of $total is [$low, $high]', ({ count, total, low, high }) => {
    const interval = clopperPearson(count, total);
    expect(interval.low).toBeCloseTo(low, 7);
    expect(interval.high).toBeCloseTo(high, 7);
  });

  test('no success of n has the closed form [0, 1 - 0.025^(1/n)]', () => {
    const { low, high } = clopperPearson(0, 20);
    expect(low).toBe(0);
    expect(high).toBeCloseTo(1 - 0.025 ** (1 / 20), 12);
  });
});

describe('Wilson', () => {
  // By hand, z = 1.95996: 8 of 10: centre (0.8 + 0.19207)/(1 + 0.38415) = 0.71674, half 0.22658.
  test('8 of 10 is [0.4902, 0.9433]', () => {
    const { low, high } = wilson(8, 10);
    expect(low).toBeCloseTo(0.4901625, 6);
    expect(high).toBeCloseTo(0.9433178, 6);
  });

  test('the interval holds its end at 0 and 1, and is all of [0, 1] without samples', () => {
    expect(wilson(0, 50).low).toBe(0);
    expect(wilson(50, 50).high).toBe(1);
    expect(wilson(0, 0)).toEqual({ low: 0, high: 1 });
    expect(proportion(0, 0)).toEqual({ value: 0, count: 0, total: 0, low: 0, high: 1 });
  });

  test.each([
    [-1, 10],
    [11, 10],
    [0.5, 10],
  ])('%s of %s is refused', (count, total) => {
    expect(() => wilson(count, total)).toThrow(RangeError);
  });
});

describe('McNemar', () => {
  test('1 against 9 disagreements is 22/1024', () => {
    expect(mcnemar(1, 9)).toBeCloseTo(22 / 1024, 12);
    expect(mcnemar(9, 1)).toBeCloseTo(22 / 1024, 12);
  });

  test('no disagreement, or an even split, is no evidence', () => {
    expect(mcnemar(0, 0)).toBe(1);
    expect(mcnemar(5, 5)).toBe(1);
  });
});

test('the incomplete beta function agrees with its closed forms', () => {
  expect(incompleteBeta(0.3, 1, 1)).toBeCloseTo(0.3, 13);
  expect(incompleteBeta(0.3, 3, 1)).toBeCloseTo(0.027, 13); // x^3
  expect(incompleteBeta(0.3, 1, 4)).toBeCloseTo(1 - 0.7 ** 4, 13);
  expect(incompleteBeta(0.5, 700, 700)).toBeCloseTo(0.5, 11);
});
