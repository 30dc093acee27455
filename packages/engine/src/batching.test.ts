import { expect, test } from 'vitest';
import { bucketOf } from './batching.ts';

test.each([
  [1, 64, 1],
  [2, 64, 4],
  [16, 64, 16],
  [17, 64, 64],
  [500, 64, 64],
  [500, 8, 8],
  [3, 2, 2],
])('%i rows, at most %i a run: compiled for %i', (rows, largest, expected) => {
  expect(bucketOf(rows, largest)).toBe(expected);
});
