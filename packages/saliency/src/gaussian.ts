import { float32, type NdArray } from '@jsigr/engine';
import type { ImageShape } from '@jsigr/models';

/**
 * Gaussian blur of `size` pixels along one axis as a matrix `[size, size]`, row-major: row i gives the weights of the pixels in blurred pixel i.
 * Cut off at 4 sigma; beyond the edge the image is mirrored (d c b a | a b c d), so that every row sums to 1.
 */
export function gaussianMatrix(size: number, sigma: number): Float64Array {
  const radius = Math.max(1, Math.round(4 * sigma));
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-0.5 * ((i - radius) / sigma) ** 2));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const matrix = new Float64Array(size * size);
  for (let row = 0; row < size; row++)
    weights.forEach((weight, i) => {
      const at = row * size + mirrored(row + i - radius, size);
      matrix[at] = (matrix[at] ?? 0) + weight / total;
    });
  return matrix;
}

/** An image `[height, width, channels]`, row-major, blurred along both axes. @param sigma in pixels, above 0 */
export function blurImage(image: Float32Array, [height, width, channels]: ImageShape, sigma: number): Float32Array {
  const down = along(image, gaussianMatrix(height, sigma), { length: height, stride: width * channels });
  return along(down, gaussianMatrix(width, sigma), { length: width, stride: channels });
}

/** A product with a matrix `[length, length]` along the axis whose entries lie `stride` apart. */
function along(
  image: Float32Array,
  matrix: Float64Array,
  { length, stride }: { readonly length: number; readonly stride: number },
): Float32Array {
  return image.map((_, at) => {
    const row = Math.floor(at / stride) % length;
    const first = at - row * stride;
    let sum = 0;
    for (let k = 0; k < length; k++) sum += (matrix[row * length + k] ?? 0) * (image[first + k * stride] ?? 0);
    return sum;
  });
}

/** `gaussianMatrix` as an engine value. */
export function gaussianArray(size: number, sigma: number): NdArray {
  return float32(Float32Array.from(gaussianMatrix(size, sigma)), [size, size]);
}

function mirrored(index: number, size: number): number {
  const period = 2 * size;
  const within = ((index % period) + period) % period;
  return within < size ? within : period - 1 - within;
}
