import { augmentBatch, gatherBatch } from '@jsigr/datasets';
import { float32, type NdArray } from '@jsigr/engine';
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
  /** `[batch]`: indices in the training split. */
  readonly sampleIndices: readonly number[];
}

/**
 * The images with these indices, augmented by random numbers of the seed, the step and the sample.
 * @param maps saliency `[count, height, width]`, 0..255, of the training split
 */
export function makeBatch(
  { train, model, plan }: TrainingRun,
  maps: Uint8Array | undefined,
  indices: Uint32Array,
  step: number,
): TrainingBatch {
  // The maps travel as the split's masks: augmentation moves them with the images.
  const { masks: _, ...split } = train;
  const { seed, augmentation } = plan.config;
  const gathered = gatherBatch(maps ? { ...split, masks: maps } : split, indices, model.input);
  const { images, labels, masks } = augmentBatch(gathered, augmentation, { seed, step, indices });
  return { images, labels, oneHot: oneHot(labels, model.classes), saliency: masks, sampleIndices: [...indices] };
}

function oneHot({ data }: NdArray, classes: number): NdArray {
  const rows = new Float32Array(data.length * classes);
  data.forEach((label, row) => {
    rows[row * classes + label] = 1;
  });
  return float32(rows, [data.length, classes]);
}
