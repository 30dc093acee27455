import { float32 } from '@jsigr/engine';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { augmentBatch, drawTransforms, type Transform } from './augment.ts';

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
