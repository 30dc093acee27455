import { float32, type NdArray, randomWords, sizeOf, uniform } from '@jsigr/engine';
import { checkedInteger, DatasetError } from './errors.ts';

export interface Augmentation {
  /** Pixels of zero padding around the image before it is cropped to its size again: moves by -crop..crop; 0..32. */
  readonly crop: number;
  /** Whether half of the images are mirrored left to right; wrong for digits and letters. */
  readonly flip: boolean;
}

/** What happens to one image: mirrored if `flip`, then moved by (dx, dy) pixels to the right and down; 0 comes in at the edges. */
export interface Transform {
  readonly flip: boolean;
  readonly dx: number;
  readonly dy: number;
}

/**
 * The transforms of the samples of a batch. Each depends on (seed, epoch, index of the sample) alone: the same in any batch and any order.
 * @throws DatasetError INVALID_OPTION
 */
export function drawTransforms(
  { crop, flip }: Augmentation,
  { seed, epoch }: { readonly seed: number; readonly epoch: number },
  indices: ArrayLike<number>,
): Transform[] {
  checkedInteger('crop', crop, 0, 32);
  const span = 2 * crop + 1;
  return Array.from(indices, (sample) => {
    const [x = 0, y = 0, mirror = 0] = randomWords({ seed, stream: 'datasets.augment', step: epoch, sample }, 3);
    // Scaling a 32-bit word favours some of at most 65 values by less than 2^-25.
    return {
      flip: flip && mirror < 2 ** 31,
      dx: Math.floor((x / 2 ** 32) * span) - crop,
      dy: Math.floor((y / 2 ** 32) * span) - crop,
    };
  });
}

/**
 * Applies transform i to image i and to map i of every companion (saliency, mask), so that they stay aligned. The arguments stay as they are.
 * @param images `[batch, height, width, channels]`, float32
 * @param companions each `[batch, height, width, anything]`, float32
 * @throws DatasetError INVALID_OPTION naming the argument whose shape does not fit
 */
export function augmentBatch(
  images: NdArray,
  companions: readonly NdArray[],
  transforms: readonly Transform[],
): { images: NdArray; companions: NdArray[] } {
  const [batch = 0, height = 0, width = 0] = images.shape;
  if (transforms.length !== batch)
    throw new DatasetError('INVALID_OPTION', 'transforms', `are ${transforms.length}, but the images are ${batch}`);
  const move = (array: NdArray, field: string) => {
    const [b, h, w, channels] = array.shape;
    const fits = array.dtype === 'float32' && array.shape.length === 4 && b === batch && h === height && w === width;
    if (!fits || channels === undefined)
      throw new DatasetError(
        'INVALID_OPTION',
        field,
        `must be float32 [${batch}, ${height}, ${width}, channels], not ${array.dtype} [${array.shape}]`,
      );
    const moved = new Float32Array(sizeOf(array.shape));
    transforms.forEach((transform, i) => {
      moveImage(array.data, moved, i * height * width * channels, height, width, channels, transform);
    });
    return float32(moved, array.shape);
  };
  return {
    images: move(images, 'images'),
    companions: companions.map((companion, i) => move(companion, `companions[${i}]`)),
  };
}

/**
 * Adds uniform noise of -halfWidth..halfWidth to every number and clips to [0,1]. Like the transforms, the noise of a sample depends on (seed, epoch,
 * index of the sample) alone.
 * @param images `[batch, ...]`, float32 in [0,1]; stays as it is
 * @param halfWidth 0..1, in units of the images
 */
export function addNoise(
  images: NdArray,
  halfWidth: number,
  { seed, epoch }: { readonly seed: number; readonly epoch: number },
  indices: ArrayLike<number>,
): NdArray {
  if (!(halfWidth >= 0 && halfWidth <= 1))
    throw new DatasetError('INVALID_OPTION', 'noise', `must be from 0 to 1, not ${halfWidth}`);
  const noisy = Float32Array.from(images.data);
  const size = noisy.length / indices.length;
  for (let row = 0; row < indices.length; row++) {
    const draws = uniform({ seed, stream: 'datasets.noise', step: epoch, sample: indices[row] ?? 0 }, size);
    for (let i = 0, at = row * size; i < size; i++, at++) {
      const value = (noisy[at] ?? 0) + halfWidth * (2 * (draws[i] ?? 0) - 1);
      noisy[at] = Math.min(1, Math.max(0, value));
    }
  }
  return float32(noisy, images.shape);
}

function moveImage(
  from: ArrayLike<number>,
  to: Float32Array,
  offset: number,
  height: number,
  width: number,
  channels: number,
  { flip, dx, dy }: Transform,
): void {
  const [top, bottom] = [Math.max(0, dy), Math.min(height, height + dy)];
  const [left, right] = [Math.max(0, dx), Math.min(width, width + dx)];
  for (let y = top; y < bottom; y++)
    for (let x = left; x < right; x++) {
      const column = flip ? width - 1 - (x - dx) : x - dx;
      const source = offset + ((y - dy) * width + column) * channels;
      const target = offset + (y * width + x) * channels;
      for (let channel = 0; channel < channels; channel++) to[target + channel] = from[source + channel] ?? 0;
    }
}
