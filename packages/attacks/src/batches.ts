import type { Split } from '@jsigr/datasets';
import { float32, int32, type NdArray } from '@jsigr/engine';
import type { ImageShape } from '@jsigr/models';

/** Some samples of a split, filled up to a fixed size so that few shapes are compiled. */
export interface Batch {
  /** float32 `[size, height, width, channels]` in [0,1]. */
  readonly images: NdArray;
  /** int32 `[size]`. */
  readonly labels: NdArray;
  /** Index in the split of each row; the first sample again in rows from `count` on. */
  readonly sampleIndices: readonly number[];
  /** How many rows are asked for; the others are filling. */
  readonly count: number;
}

/**
 * The samples in batches of `batchSize`. The last one is filled up, to a quarter of the size where that is enough: two shapes at most.
 */
export function* batchesOf(
  split: Split,
  input: ImageShape,
  indices: readonly number[],
  batchSize: number,
): Generator<Batch> {
  for (let at = 0; at < indices.length; at += batchSize) {
    const chunk = indices.slice(at, at + batchSize);
    const quarter = Math.ceil(batchSize / 4);
    yield batchOf(split, input, chunk, chunk.length <= quarter ? quarter : batchSize);
  }
}

function batchOf(split: Split, input: ImageShape, chunk: readonly number[], size: number): Batch {
  const pixels = input[0] * input[1] * input[2];
  const images = new Float32Array(size * pixels);
  const labels = new Int32Array(size);
  const sampleIndices = Array.from({ length: size }, (_, row) => chunk[row] ?? chunk[0] ?? 0);
  sampleIndices.forEach((sample, row) => {
    for (let i = 0; i < pixels; i++) images[row * pixels + i] = (split.images[sample * pixels + i] ?? 0) / 255;
    labels[row] = split.labels[sample] ?? 0;
  });
  return {
    images: float32(images, [size, ...input]),
    labels: int32(labels, [size]),
    sampleIndices,
    count: chunk.length,
  };
}
