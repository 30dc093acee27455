import { float32, type NdArray, sizeOf } from '@jsigr/engine';
import type { ImageShape } from '@jsigr/models';
import type { Samples } from './study-context.ts';

/** The samples' images, `[count, height, width, channels]` in [0,1]. */
export function gatherImages({ split, indices }: Samples, input: ImageShape): NdArray {
  const size = sizeOf(input);
  const data = new Float32Array(indices.length * size);
  indices.forEach((index, place) => {
    for (let i = 0; i < size; i++) data[place * size + i] = (split.images[index * size + i] ?? 0) / 255;
  });
  return float32(data, [indices.length, ...input]);
}

/** Rows of a batch, `[to - from, ...]`. */
export function slice(array: NdArray, from: number, to: number): NdArray {
  const [, ...shape] = array.shape;
  const size = sizeOf(shape);
  return float32((array.data as Float32Array).subarray(from * size, to * size), [to - from, ...shape]);
}
