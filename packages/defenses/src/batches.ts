import { addNoise, augmentBatch, drawTransforms, gatherBatch } from '@jsigr/datasets';
import { float32, type NdArray } from '@jsigr/engine';
import type { ImageShape } from '@jsigr/models';
import type { TrainingRun } from './run.ts';

/** One batch as a step needs it. */
export interface TrainingBatch {
  /** float32 `[batch, height, width, channels]` in [0,1], augmented. */
  readonly images: NdArray;
  /** int32 `[batch]`. */
  readonly labels: NdArray;
  /** float32 `[batch, classes]`. */
  readonly oneHot: NdArray;
  /** float32 `[batch, height, width, 1]` in [0,1], moved with the images; absent where there are no maps. */
  readonly saliency: NdArray | undefined;
  /** `[batch]`: indices in the dataset's training split. */
  readonly sampleIndices: readonly number[];
}

/**
 * The training images with these indices, augmented by random numbers of the seed, the epoch (from 0) and the sample.
 * @param maps saliency `[count, height, width]`, 0..255, of the dataset's training images
 */
export function makeBatch(
  { dataset, model, plan }: TrainingRun,
  maps: Uint8Array | undefined,
  indices: Uint32Array,
  epoch: number,
): TrainingBatch {
  const { seed, augmentation } = plan.config;
  const { images, labels } = gatherBatch(dataset.train, indices, model.input);
  const saliency = maps && gatherMaps(maps, indices, model.input);
  const batch = { labels, oneHot: oneHot(labels, model.classes), sampleIndices: [...indices] };
  const { cropPadding: crop, flip, noise } = augmentation;
  const time = { seed, epoch };
  const disturb = (clean: NdArray) => (noise === 0 ? clean : addNoise(clean, noise, time, indices));
  if (crop === 0 && !flip) return { ...batch, images: disturb(images), saliency };
  const moved = augmentBatch(images, saliency ? [saliency] : [], drawTransforms({ crop, flip }, time, indices));
  return { ...batch, images: disturb(moved.images), saliency: moved.companions[0] };
}

function gatherMaps(maps: Uint8Array, indices: Uint32Array, [height, width]: ImageShape): NdArray {
  const size = height * width;
  const data = new Float32Array(indices.length * size);
  indices.forEach((index, row) => {
    for (let i = 0; i < size; i++) data[row * size + i] = (maps[index * size + i] ?? 0) / 255;
  });
  return float32(data, [indices.length, height, width, 1]);
}

function oneHot({ data }: NdArray, classes: number): NdArray {
  const rows = new Float32Array(data.length * classes);
  data.forEach((label, row) => {
    rows[row * classes + label] = 1;
  });
  return float32(rows, [data.length, classes]);
}
