import { float32, type NdArray } from '@jsigr/engine';

/** The maps of a split's images, a byte a pixel (for 60,000 images of 28x28 that is 47 MB). */
export interface SaliencyMaps {
  /** `[count, height, width]`: 0..255 stands for 0..1, of signed maps 1..255 for -1..1. */
  readonly bytes: Uint8Array;
  readonly signed: boolean;
}

/** The maps `[batch, height, width, 1]` of the images with these indices. */
export function gatherMaps(
  { bytes, signed }: SaliencyMaps,
  indices: ArrayLike<number>,
  height: number,
  width: number,
): NdArray {
  const size = height * width;
  const data = new Float32Array(indices.length * size);
  for (let row = 0; row < indices.length; row++)
    for (let i = 0; i < size; i++) {
      const byte = bytes[(indices[row] ?? 0) * size + i] ?? 0;
      data[row * size + i] = signed ? (byte - 128) / 127 : byte / 255;
    }
  return float32(data, [indices.length, height, width, 1]);
}
