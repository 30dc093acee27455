import { describe, expect, it } from 'vitest';
import { meanOf, relevanceMass } from './relevance.ts';

describe('relevance inside a mask', () => {
  it('counts absolute values', () =>
    // |-3| + |1| of |-3| + |1| + |4|
    expect(relevanceMass(Float32Array.of(-3, 1, 4), Uint8Array.of(1, 1, 0))).toBe(0.5));

  it('is unknown where a map is zero', () =>
    expect(relevanceMass(new Float32Array(3), Uint8Array.of(1, 1, 0))).toBeUndefined());
});

describe('means', () => {
  it('have a 95 % interval', () => {
    // Values 1, 2, 3: mean 2, variance 1, standard error 1 / sqrt(3) = 0.57735; times 1.959964 = 1.131586.
    const mean = meanOf([1, 2, 3]);
    expect(mean).toMatchObject({ mean: 2, count: 3 });
    expect(mean?.lower).toBeCloseTo(0.868414, 6);
    expect(mean?.upper).toBeCloseTo(3.131586, 6);
  });

  it('of one value have no width, of none there is none', () => {
    expect(meanOf([0.5])).toEqual({ mean: 0.5, lower: 0.5, upper: 0.5, count: 1 });
    expect(meanOf([])).toBeUndefined();
  });
});
