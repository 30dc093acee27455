import { AdversarialExample } from '@jsigr/proto';
import { describe, expect, it } from 'vitest';
import { maskAreaOf, turnedExamples } from './explanations.ts';

const example = (index: number, label: number, before: number, after: number, epsilon = 0.1): AdversarialExample =>
  AdversarialExample.fromPartial({
    attack: 'mi-fgsm',
    epsilon,
    index,
    label,
    predictedBefore: before,
    predictedAfter: after,
  });

describe('examples for the report', () => {
  const wanted = { attack: 'mi-fgsm', epsilon: 0.1, count: 2 };

  it('are those that turned a right prediction into a wrong one', () => {
    const all = [example(0, 1, 1, 1), example(1, 2, 3, 4), example(2, 5, 5, 6), example(3, 7, 7, 8, 0.2)];
    expect(turnedExamples(all, wanted).map(({ index }) => index)).toEqual([2]);
  });

  it('are of different classes first', () => {
    const all = [example(0, 1, 1, 2), example(1, 1, 1, 3), example(2, 2, 2, 3)];
    expect(turnedExamples(all, wanted).map(({ index }) => index)).toEqual([0, 2]);
    expect(turnedExamples(all, { ...wanted, count: 9 }).map(({ index }) => index)).toEqual([0, 2, 1]);
  });

  it('compare epsilons as float64 numbers that came through float32', () =>
    expect(turnedExamples([example(0, 1, 1, 2, Math.fround(0.1))], wanted)).toHaveLength(1));
});

it('the masks’ area is the mean share of their pixels', () => {
  const masks = [Uint8Array.of(1, 0, 0, 0), Uint8Array.of(1, 1, 1, 0)];
  const part = {
    count: 2,
    shape: [2, 2, 1],
    image: () => new Float32Array(4),
    label: () => 0,
    mask: (index: number) => masks[index] ?? new Uint8Array(4),
  };
  expect(maskAreaOf(part, 10)).toBe(0.5);
});
