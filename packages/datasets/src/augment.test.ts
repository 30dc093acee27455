import { float32 } from '@jsigr/engine';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addNoise, augmentBatch, drawTransforms, type Transform } from './augment.ts';

const still: Transform = { flip: false, dx: 0, dy: 0 };
const image = float32([1, 2, 3, 4, 5, 6], [1, 2, 3, 1]);

test.each<[string, Transform, number[]]>([
  ['nothing', still, [1, 2, 3, 4, 5, 6]],
  ['one to the right', { ...still, dx: 1 }, [0, 1, 2, 0, 4, 5]],
  ['one to the left and down', { ...still, dx: -1, dy: 1 }, [0, 0, 0, 2, 3, 0]],
  ['mirrored', { ...still, flip: true }, [3, 2, 1, 6, 5, 4]],
  ['mirrored, then one to the right and up', { flip: true, dx: 1, dy: -1 }, [0, 6, 5, 0, 0, 0]],
  ['out of the picture', { ...still, dx: 3 }, [0, 0, 0, 0, 0, 0]],
])('an image moves: %s', (_, transform, expected) => {
  expect([...augmentBatch(image, [], [transform]).images.data]).toEqual(expected);
  expect([...image.data]).toEqual([1, 2, 3, 4, 5, 6]);
});

test('companions move with their image, whatever their channels', () => {
  const images = float32([1, 2, 3, 4], [2, 1, 2, 1]);
  const map = float32([1, 10, 2, 20, 3, 30, 4, 40], [2, 1, 2, 2]);
  const moved = augmentBatch(
    images,
    [images, map],
    [
      { ...still, flip: true },
      { ...still, dx: 1 },
    ],
  );
  expect([...moved.images.data]).toEqual([2, 1, 0, 3]);
  expect(moved.companions.map(({ data }) => [...data])).toEqual([
    [2, 1, 0, 3],
    [2, 20, 1, 10, 0, 0, 3, 30],
  ]);
});

describe('transforms', () => {
  const policy = { crop: 4, flip: true };

  test('depend on seed, epoch and sample, not on the batch', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.array(fc.nat(), { maxLength: 8 }), (seed, epoch, indices) => {
        const together = drawTransforms(policy, { seed, epoch }, indices);
        expect(together).toEqual(indices.flatMap((index) => drawTransforms(policy, { seed, epoch }, [index])));
      }),
    );
    const at = (seed: number, epoch: number) => drawTransforms(policy, { seed, epoch }, [...Array(8).keys()]);
    expect(at(1, 0)).not.toEqual(at(1, 1));
    expect(at(1, 0)).not.toEqual(at(2, 0));
  });

  test('reach every shift equally often, and mirror half', () => {
    const drawn = drawTransforms(policy, { seed: 1, epoch: 0 }, [...Array(9000).keys()]);
    for (let shift = -4; shift <= 4; shift++)
      for (const axis of ['dx', 'dy'] as const) {
        const seen = drawn.filter((transform) => transform[axis] === shift).length;
        expect(Math.abs(seen - 1000)).toBeLessThan(150); // five standard deviations: sqrt(9000 / 9 * 8 / 9) = 29.8
      }
    expect(Math.abs(drawn.filter(({ flip }) => flip).length - 4500)).toBeLessThan(240); // five of 47.4
  });

  test('are still without crop and flip', () => {
    expect(drawTransforms({ crop: 0, flip: false }, { seed: 1, epoch: 0 }, [0, 1])).toEqual([still, still]);
  });
});

test.each([
  ['crop', () => drawTransforms({ crop: 33, flip: false }, { seed: 0, epoch: 0 }, [])],
  ['transforms', () => augmentBatch(image, [], [])],
  ['images', () => augmentBatch(float32([1], [1]), [], [still])],
  ['companions[1]', () => augmentBatch(image, [image, float32([1, 2], [1, 2, 1, 1])], [still])],
])('bad %s are refused by name', (field, call) => {
  expect(call).toThrow(expect.objectContaining({ name: 'DatasetError', reason: 'INVALID_OPTION', field }));
});

describe('noise', () => {
  const images = float32(Array(2 * 500).fill(0.5), [2, 500]);

  test('stays within its size, is about uniform, and leaves the images as they are', () => {
    const { data } = addNoise(images, 0.25, { seed: 1, epoch: 0 }, [3, 4]);
    expect(Math.min(...data)).toBeGreaterThanOrEqual(0.25);
    expect(Math.max(...data)).toBeLessThanOrEqual(0.75);
    // The mean of 1,000 uniform draws of -0.25..0.25 has a standard deviation of 0.25 / sqrt(3000) = 0.0046.
    expect(Array.from(data).reduce((sum, value) => sum + value, 0) / data.length).toBeCloseTo(0.5, 1);
    expect(images.data.every((value) => value === 0.5)).toBe(true);
  });

  test('of a sample depends on seed, epoch and sample, not on its batch', () => {
    const time = { seed: 1, epoch: 2 };
    const both = addNoise(images, 1, time, [3, 4]).data;
    const alone = addNoise(float32(Array(500).fill(0.5), [1, 500]), 1, time, [4]).data;
    expect([...both.subarray(500)]).toEqual([...alone]);
    expect([...addNoise(images, 1, { ...time, epoch: 3 }, [3, 4]).data]).not.toEqual([...both]);
  });

  test('is clipped to [0,1]', () => {
    const { data } = addNoise(float32([0, 1, 0, 1], [1, 4]), 1, { seed: 1, epoch: 0 }, [0]);
    expect([...data].every((value) => value >= 0 && value <= 1)).toBe(true);
  });

  test.each([-0.1, 1.1, Number.NaN])('of size %s is refused', (size) => {
    expect(() => addNoise(images, size, { seed: 1, epoch: 0 }, [0, 1])).toThrow('noise: must be from 0 to 1');
  });
});
