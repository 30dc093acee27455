import { expect, test } from 'vitest';
import { splitStatistics } from './statistics.ts';

test('counts, means and deviations of each channel, and the share of the masks', () => {
  // Channel 0: 0, 255, 0, 255: mean 1/2, deviation 1/2. Channel 1: 51 everywhere: mean 1/5, deviation 0.
  const images = Uint8Array.of(0, 51, 255, 51, 0, 51, 255, 51);
  const split = { count: 2, images, labels: Uint8Array.of(2, 2), masks: Uint8Array.of(1, 0, 0, 0) };
  expect(splitStatistics(split, { input: [1, 2, 2], classes: ['a', 'b', 'c'] })).toEqual({
    count: 2,
    perClass: [0, 0, 2],
    mean: [0.5, 0.2],
    deviation: [0.5, 0],
    maskShare: 0.25,
  });
});
