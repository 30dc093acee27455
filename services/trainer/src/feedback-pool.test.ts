import { encodeExamples } from '@jsigr/attacks';
import { glyphs } from '@jsigr/datasets';
import { expect, test } from 'vitest';
import { FeedbackPool } from './feedback-pool.ts';

const dataset = glyphs({ variant: 'gray28', train: 8, test: 2, seed: 1 });
const examplesOf = (indices: readonly number[], level: number) => ({
  examples: {
    files: encodeExamples({
      indices,
      images: new Uint8Array(indices.length * 28 * 28).fill(level),
      input: [28, 28, 1],
    }),
    share: 0.5,
  },
});

test('what was handed out for an epoch stays as it was when a report comes in its middle', () => {
  const pool = new FeedbackPool(dataset);
  expect(pool.take(examplesOf([0, 1], 100))).toBe(2);
  const { examples } = pool.feedback;
  expect(pool.take(examplesOf([1, 2], 200))).toBe(3);
  const levels = (images = new Map<number, Uint8Array>() as ReadonlyMap<number, Uint8Array>) =>
    [...images].map(([index, [level]]) => [index, level]);
  expect(levels(examples?.images)).toEqual([
    [0, 100],
    [1, 100],
  ]);
  expect(levels(pool.feedback.examples?.images)).toEqual([
    [0, 100],
    [1, 200],
    [2, 200],
  ]);
});
