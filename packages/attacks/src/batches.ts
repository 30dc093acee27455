import type { Split } from '@jsigr/datasets';
import { float32, int32, type NdArray } from '@jsigr/engine';
import type { ImageShape } from '@jsigr/models';

/** Samples of a split, as attacks take them. */
export interface Samples {
  /** float32 `[count, height, width, channels]` in [0,1]. */
  readonly images: NdArray;
  /** int32 `[count]`. */
  readonly labels: NdArray;
  /** Index in the split of each. */
  readonly sampleIndices: readonly number[];
}

/** Samples in the order of `indices`; one may come several times. */
export function samplesOf(split: Split, input: ImageShape, indices: readonly number[]): Samples {
  const pixels = input[0] * input[1] * input[2];
  const images = new Float32Array(indices.length * pixels);
  const labels = new Int32Array(indices.length);
  indices.forEach((sample, row) => {
    for (let i = 0; i < pixels; i++) images[row * pixels + i] = (split.images[sample * pixels + i] ?? 0) / 255;
    labels[row] = split.labels[sample] ?? 0;
  });
  return {
    images: float32(images, [indices.length, ...input]),
    labels: int32(labels, [indices.length]),
    sampleIndices: indices,
  };
}

/** Images to mix in: the same few of the split for every sample, whatever is attacked. */
const POOL = 64;

export function poolOf(split: Split, input: ImageShape): Samples {
  const count = Math.min(POOL, split.count);
  return samplesOf(
    split,
    input,
    Array.from({ length: count }, (_, i) => i),
  );
}

/** Consecutive pieces of at most `size`. */
export function piecesOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
