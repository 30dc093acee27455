import { describe, expect, test } from 'vitest';
import { compare, compareIntervals, meanOf, shareOf } from './estimate.ts';
import { outcomesOf } from './outcomes.ts';

const share = (yes: number, total = 100) => outcomesOf(Array.from({ length: total }, (_, i) => i < yes));

describe('a figure over the seeds', () => {
  test('of one seed has the interval of the samples alone', () => {
    // Wilson's interval of 80 of 100
    const { mean, spread, low, high } = shareOf([share(80)]) ?? expect.fail();
    expect([mean, spread]).toEqual([0.8, undefined]);
    expect([low, high]).toEqual([expect.closeTo(0.7112, 4), expect.closeTo(0.8666, 4)]);
  });

  test('of three seeds adds their spread in squares', () => {
    // 0.78, 0.80, 0.82: deviation 0.02, half of Student's interval 4.303 * 0.02 / sqrt(3) = 0.04969
    const { mean, spread, low } = shareOf([share(78), share(80), share(82)]) ?? expect.fail();
    expect(mean).toBeCloseTo(0.8, 10);
    expect(spread).toBeCloseTo(0.02, 10);
    expect(0.8 - low).toBeCloseTo(Math.hypot(0.8 - 0.7112, 0.04969), 3);
  });

  test('of means has the standard error of the samples', () => {
    const { low, high } = meanOf([{ count: 100, mean: 0.5, deviation: 0.2 }]) ?? expect.fail();
    expect([low, high]).toEqual([expect.closeTo(0.5 - 0.0392, 6), expect.closeTo(0.5 + 0.0392, 6)]);
  });

  test('of nothing is nothing', () => expect([shareOf([]), meanOf([])]).toEqual([undefined, undefined]));
});

describe('two models on the same samples', () => {
  const seeds = (...outcomes: ReturnType<typeof outcomesOf>[]) => new Map(outcomes.map((each, i) => [i + 1, each]));
  const first = outcomesOf(Array.from({ length: 40 }, (_, i) => i < 30));
  const worse = outcomesOf(Array.from({ length: 40 }, (_, i) => i < 20));

  test('are told apart only where every seed tells them apart', () => {
    // 10 against 0 disagreements: p = 2 / 2^10
    expect(compare(seeds(first, first), seeds(worse, worse))).toEqual({
      difference: 0.25,
      p: [expect.closeTo(2 / 1024, 9), expect.closeTo(2 / 1024, 9)],
      verdict: 'ahead',
    });
    expect(compare(seeds(worse), seeds(first)).verdict).toBe('behind');
    expect(compare(seeds(first, first), seeds(worse, first)).verdict).toBe('undecided');
  });

  test('are paired by seed: one that broke down is left out', () => {
    const pair = compare(seeds(first, worse), new Map([[2, worse]]));
    expect(pair).toEqual({ difference: 0, p: [1], verdict: 'undecided' });
    expect(compare(seeds(first), new Map())).toEqual({ difference: 0, p: [], verdict: 'undecided' });
    expect(() => compare(seeds(first), seeds(outcomesOf([true])))).toThrow(
      'two models, seed 1: 40 samples cannot be compared with 1',
    );
  });

  test('are compared by their intervals where there are no pairs', () => {
    const at = (low: number, high: number) => ({ mean: (low + high) / 2, spread: undefined, low, high });
    expect(compareIntervals(at(0.5, 0.6), at(0.3, 0.4))).toBe('ahead');
    expect(compareIntervals(at(0.3, 0.4), at(0.5, 0.6))).toBe('behind');
    expect(compareIntervals(at(0.3, 0.5), at(0.4, 0.6))).toBe('undecided');
  });
});
