import { float32 } from '@jsigr/engine';
import { expect, test } from 'vitest';
import { normalise, pointingGame, relevanceMass, relevanceRank } from './metrics.ts';

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

test('a mask of another size is refused', () => {
  expect(() => relevanceMass(MAP, MASK.subarray(1))).toThrow('mask: 11 pixels given, 12 needed by [3,2,2,1]');
});
