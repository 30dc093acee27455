import { float32, int32 } from '@jsigr/engine';
import { describe, expect, it } from 'vitest';
import { correctFraction, hasOverfitted, overfittingProbe } from './overfitting.ts';

const epochs = (...pairs: readonly (readonly [fgsm: number, pgd: number])[]) =>
  pairs.map(([fgsmAccuracy, pgdAccuracy]) => ({ fgsmAccuracy, pgdAccuracy }));

describe('catastrophic overfitting', () => {
  it.each([
    // The pattern of Wong et al., figure 5: within one epoch PGD accuracy falls to nothing while FGSM accuracy rises.
    { what: 'PGD accuracy falls to nothing', history: epochs([0.5, 0.4], [0.6, 0.45], [0.9, 0]), seen: true },
    { what: 'it falls by just the drop', history: epochs([0.5, 0.5], [0.5, 0.25]), seen: true },
    { what: 'it falls by a little less', history: epochs([0.5, 0.5], [0.5, 0.27]), seen: false },
    { what: 'both fall together: that is another trouble', history: epochs([0.8, 0.7], [0.2, 0.15]), seen: false },
    { what: 'it was never higher, and FGSM accuracy is', history: epochs([0.4, 0], [0.6, 0]), seen: true },
    { what: 'neither is high yet', history: epochs([0.2, 0], [0.4, 0]), seen: false },
    { what: 'it fell before and has recovered', history: epochs([0.6, 0.5], [0.9, 0], [0.6, 0.5]), seen: false },
    { what: 'there is a single epoch', history: epochs([1, 0.3]), seen: false },
    { what: 'there is none', history: [], seen: false },
  ])('is seen: $seen, where $what', ({ history, seen }) => {
    expect(hasOverfitted(history, 0.25)).toBe(seen);
  });

  it('is told with its figures and what to do', () => {
    const attack = { epsilon: 0.1, norm: 'linf', epsilonWarmupEpochs: 0, steps: 1, randomStart: true } as const;
    const probe = overfittingProbe({ probeSamples: 4, overfittingDrop: 0.2 }, attack);
    expect(probe?.alarm(epochs([0.5, 0.4], [0.9, 0]))).toMatch(
      /FGSM accuracy is 0\.900, PGD-10 accuracy is 0\.000; use a smaller/,
    );
    expect(probe?.alarm(epochs([0.5, 0.4], [0.6, 0.5]))).toBeUndefined();
    expect(overfittingProbe({ probeSamples: 0, overfittingDrop: 0.2 }, attack)).toBeUndefined();
  });
});

describe('the fraction of correct rows', () => {
  it('counts the largest logits that are the labels', () => {
    expect(correctFraction(float32([1, 2, 3, 0, 5, 4], [3, 2]), int32([1, 1, 0], [3]))).toBeCloseTo(2 / 3, 9);
  });
});
