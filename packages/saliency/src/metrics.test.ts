import { float32 } from '@jsigr/engine';
import { expect, test } from 'vitest';
import { normalise, pointingGame, relevanceMass, relevanceRank, sparseness, topOverlap } from './metrics.ts';

// Three maps of 2 x 2, and their masks.
const MAP = float32([1, -3, 0, 4, 0, 0, 0, 0, 2, 2, 1, -5], [3, 2, 2, 1]);
const MASK = Uint8Array.of(0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0);

test('normalise divides each map by its largest absolute value', () => {
  expect([...normalise(MAP).data]).toEqual([0.25, -0.75, 0, 1, 0, 0, 0, 0, 0.4, 0.4, 0.2, -1].map(Math.fround));
});

test('relevance mass is the share of |relevance| in the mask', () => {
  expect(relevanceMass(MAP, MASK)).toEqual([7 / 8, 0, 4 / 10]);
});

test('relevance rank looks at as many top pixels as the mask has', () => {
  // First: 4 and 3 are in. Second: all are equal, the first two count. Third: 5 is out, the first 2 is in.
  expect(relevanceRank(MAP, MASK)).toEqual([1, 1, 0.5]);
});

test('the pointing game asks for the most relevant pixel; a map of zeros misses', () => {
  expect(pointingGame(MAP, MASK)).toEqual([true, false, false]);
});

test('sparseness is the Gini index: 0 where all pixels are alike, near 1 where one has it all', () => {
  // |1 -3 0 4| sorted is 0 1 3 4: 1 - 2 (1 * 2.5 + 3 * 1.5 + 4 * 0.5) / (8 * 4).
  expect(sparseness(float32([1, -3, 0, 4, 2, -2, 2, 2, 0, 0, 7, 0, 0, 0, 0, 0], [4, 2, 2, 1]))).toEqual([
    0.4375, 0, 0.75, 0,
  ]);
});

test('the overlap counts the pixels that are among the most relevant of both maps', () => {
  const [map, other] = [float32([4, -3, 2, 1], [1, 2, 2, 1]), float32([1, 5, 0, -2], [1, 2, 2, 1])];
  expect(topOverlap(map, other, 0.5)).toEqual([0.5]);
  expect(topOverlap(map, other, 0.25)).toEqual([0]);
  expect(topOverlap(map, map)).toEqual([1]);
  expect(() => topOverlap(map, other, 0)).toThrow('share: 0 given, above 0 and up to 1 allowed');
});

test('a mask of another size is refused', () => {
  expect(() => relevanceMass(MAP, MASK.subarray(1))).toThrow('mask: 11 pixels given, 12 needed by [3,2,2,1]');
});
