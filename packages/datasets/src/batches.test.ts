import { describe, expect, test } from 'vitest';
import { epochOrder, gatherBatch } from './batches.ts';
import type { Split } from './dataset.ts';

describe('the order of an epoch', () => {
  test('is a permutation that seed and epoch choose', () => {
    const order = epochOrder(100, 1, 0);
    expect([...order].sort((a, b) => a - b)).toEqual([...Array(100).keys()]);
    expect(epochOrder(100, 1, 0)).toEqual(order);
    expect(epochOrder(100, 1, 1)).not.toEqual(order);
    expect(epochOrder(100, 2, 0)).not.toEqual(order);
  });
});

describe('a batch', () => {
  const split: Split = {
    count: 3,
    images: Uint8Array.of(0, 51, 102, 255, 1, 2, 3, 4, 5, 6, 7, 8),
    labels: Uint8Array.of(2, 0, 1),
    masks: Uint8Array.of(0, 1, 1, 0, 1, 1),
  };

  test('holds the samples in the order of the indices, bytes over 255, and their masks', () => {
    const { images, labels, masks } = gatherBatch(split, [2, 0, 2], [1, 2, 2]);
    const last = [5, 6, 7, 8].map((byte) => Math.fround(byte / 255));
    expect(images).toEqual({
      dtype: 'float32',
      shape: [3, 1, 2, 2],
      data: Float32Array.of(...last, 0, 0.2, 0.4, 1, ...last),
    });
    expect(labels).toEqual({ dtype: 'int32', shape: [3], data: Int32Array.of(1, 2, 1) });
    expect(masks).toEqual({ dtype: 'float32', shape: [3, 1, 2, 1], data: Float32Array.of(1, 1, 0, 1, 1, 1) });
  });

  test('of every byte rounds back to the byte', () => {
    const images = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const batch = gatherBatch({ count: 1, images, labels: Uint8Array.of(0) }, [0], [16, 16, 1]);
    expect(batch.masks).toBeUndefined();
    expect([...batch.images.data].map((value) => Math.round(value * 255))).toEqual([...images]);
  });

  test.each([
    ['indices', [3], [1, 2, 2]],
    ['indices', [-1], [1, 2, 2]],
    ['indices', [0.5], [1, 2, 2]],
    ['input', [0], [2, 2, 2]],
  ] as const)('refuses bad %s', (field, indices, input) => {
    expect(() => gatherBatch(split, indices, input)).toThrow(
      expect.objectContaining({ reason: 'INVALID_OPTION', field }),
    );
  });
});
