import { float32, int32, type NdArray, permutation } from '@jsigr/engine';
import type { Dataset, Split } from './dataset.ts';
import { checkedInteger, DatasetError } from './errors.ts';

/** One batch as the engine takes it. */
export interface Batch {
  /** `[batch, height, width, channels]`, float32 in [0, 1]: byte b is b / 255. */
  readonly images: NdArray;
  /** `[batch]`, int32. */
  readonly labels: NdArray;
  /** `[batch, height, width, 1]`, float32, 0 or 1; where the split has masks. */
  readonly masks?: NdArray;
}

const BYTE_TO_UNIT = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/**
 * The order of the samples in an epoch: a permutation of 0..count-1 that depends on (seed, epoch) alone, so that a resumed run sees what an
 * uninterrupted one would have seen.
 */
export function epochOrder(count: number, seed: number, epoch: number): Uint32Array {
  return permutation({ seed, stream: 'datasets.epoch', step: epoch }, count);
}

/**
 * The samples of the given indices, in that order; an index may come twice (padding of a last batch).
 * @throws DatasetError INVALID_OPTION if an index is not in the split, or `input` is not its image shape
 */
export function gatherBatch(split: Split, indices: ArrayLike<number>, input: Dataset['input']): Batch {
  const [height, width, channels] = input;
  const area = height * width;
  const size = area * channels;
  if (split.images.length !== split.count * size)
    throw new DatasetError('INVALID_OPTION', 'input', `[${input}] is not the shape of the images of the split`);
  const batch = indices.length;
  const images = new Float32Array(batch * size);
  const labels = new Int32Array(batch);
  const masks = split.masks && new Float32Array(batch * area);
  for (let i = 0; i < batch; i++) {
    const index = checkedInteger('indices', indices[i] ?? Number.NaN, 0, split.count - 1);
    const from = index * size;
    const to = i * size;
    for (let k = 0; k < size; k++) images[to + k] = BYTE_TO_UNIT[split.images[from + k] ?? 0] ?? 0;
    labels[i] = split.labels[index] ?? 0;
    if (split.masks) masks?.set(split.masks.subarray(index * area, (index + 1) * area), i * area);
  }
  return {
    images: float32(images, [batch, height, width, channels]),
    labels: int32(labels, [batch]),
    ...(masks && { masks: float32(masks, [batch, height, width, 1]) }),
  };
}
