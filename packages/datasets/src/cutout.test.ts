import { float32 } from '@jsigr/engine';
import { expect, it } from 'vitest';
import { cutOut } from './cutout.ts';

const ones = (batch: number, channels = 1) =>
  float32(new Float32Array(batch * 25 * channels).fill(1), [batch, 5, 5, channels]);
const time = { seed: 1, epoch: 0 };

it('cuts one square from every image, the same from its maps', () => {
  const indices = [...Array(400).keys()];
  const { images, companions } = cutOut(ones(400), [ones(400, 2)], 3, time, indices);
  const map = companions[0]?.data ?? [];
  const cuts = indices.map((row) => {
    const image = [...images.data.slice(row * 25, row * 25 + 25)];
    expect([...map.slice(row * 50, row * 50 + 50)]).toEqual(image.flatMap((value) => [value, value]));
    return image.filter((value) => value === 0).length;
  });
  // The middle is uniform on 5x5: 9 places keep the whole square, 12 lose one line of three, 4 corners leave 2x2.
  expect([...new Set(cuts)].sort()).toEqual([4, 6, 9]);
  expect(Math.abs(cuts.filter((cut) => cut === 9).length - 144)).toBeLessThan(48); // five standard deviations: sqrt(400 * .36 * .64) = 9.6
});

it('depends on seed, epoch and sample alone', () => {
  const both = cutOut(ones(2), [], 3, time, [3, 4]).images.data;
  expect([...cutOut(ones(1), [], 3, time, [4]).images.data]).toEqual([...both.slice(25)]);
  const many = (at: typeof time) => [...cutOut(ones(20), [], 3, at, [...Array(20).keys()]).images.data];
  expect(many({ ...time, epoch: 1 })).not.toEqual(many(time));
  expect(many({ ...time, seed: 2 })).not.toEqual(many(time));
});

it('refuses a size that is no size', () => {
  expect(() => cutOut(ones(1), [], 0, time, [0])).toThrow(expect.objectContaining({ field: 'cutout' }));
});
