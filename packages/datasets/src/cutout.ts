import { float32, type NdArray, randomWords } from '@jsigr/engine';
import { checkedInteger, DatasetError } from './errors.ts';

/**
 * Cutout (DeVries and Taylor, arXiv 1708.04552): a square of every image is set to 0. Its middle is a pixel drawn uniformly, so that a part
 * of it may lie outside. The square of a sample depends on (seed, epoch, index of the sample) alone. The arguments stay as they are.
 * @param images `[batch, height, width, channels]`, float32
 * @param companions each `[batch, height, width, anything]`: maps that lose the same square
 * @param size side of the square in pixels, 1..64
 * @throws DatasetError INVALID_OPTION
 */
export function cutOut(
  images: NdArray,
  companions: readonly NdArray[],
  size: number,
  { seed, epoch }: { readonly seed: number; readonly epoch: number },
  indices: ArrayLike<number>,
): { images: NdArray; companions: NdArray[] } {
  checkedInteger('cutout', size, 1, 64);
  const [batch = 0, height = 0, width = 0] = images.shape;
  if (images.shape.length !== 4 || indices.length !== batch)
    throw new DatasetError('INVALID_OPTION', 'indices', `are ${indices.length} for images of shape [${images.shape}]`);
  const squares = Array.from(indices, (sample) => {
    const [x = 0, y = 0] = randomWords({ seed, stream: 'datasets.cutout', step: epoch, sample }, 2);
    const from = (word: number, side: number) => Math.floor((word / 2 ** 32) * side) - Math.floor(size / 2);
    return { left: from(x, width), top: from(y, height) };
  });
  const cut = (array: NdArray): NdArray => {
    const data = Float32Array.from(array.data);
    const channels = array.shape[3] ?? 1;
    squares.forEach(({ left, top }, row) => {
      const [start, end] = [Math.max(0, left), Math.min(width, left + size)];
      for (let y = Math.max(0, top); y < Math.min(height, top + size); y++) {
        const line = (row * height + y) * width;
        data.fill(0, (line + start) * channels, (line + end) * channels);
      }
    });
    return float32(data, array.shape);
  };
  return { images: cut(images), companions: companions.map(cut) };
}
