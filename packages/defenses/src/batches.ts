import { addNoise, augmentBatch, cutOut, drawTransforms, gatherBatch, type Split } from '@jsigr/datasets';
import { float32, type NdArray, uniform } from '@jsigr/engine';
import type { ImageShape } from '@jsigr/models';
import type { ResolvedTrainingConfig } from './config.ts';
import type { TransferredExamples } from './feedback.ts';
import { gatherMaps, type SaliencyMaps } from './saliency-maps.ts';

/** One batch as a step needs it. */
export interface TrainingBatch {
  /** float32 `[batch, height, width, channels]` in [0,1], augmented. */
  readonly images: NdArray;
  /** int32 `[batch]`. */
  readonly labels: NdArray;
  /** float32 `[batch, classes]`. */
  readonly oneHot: NdArray;
  /** float32 `[batch, height, width, 1]` in [0,1] (signed maps: [-1,1]), moved with the images; absent where there are no maps. */
  readonly saliency: NdArray | undefined;
  /** `[batch]`: indices in the dataset's training split. */
  readonly sampleIndices: readonly number[];
}

/** What goes with the training images for an epoch. */
export interface BatchCompanions {
  /** Saliency of the dataset's training images. */
  readonly maps: SaliencyMaps | undefined;
  readonly examples: TransferredExamples | undefined;
}

/** What the batches of a run are made of: as data, so that another thread can have it. */
export interface BatchRecipe {
  readonly train: Split;
  readonly input: ImageShape;
  readonly classes: number;
  readonly seed: number;
  readonly augmentation: ResolvedTrainingConfig['augmentation'];
}

/** Which batch: the images with these indices, in an epoch counted from 0, with what goes with them then. */
export interface BatchOrder {
  readonly indices: Uint32Array;
  readonly epoch: number;
  readonly companions: BatchCompanions;
}

/** The training images with these indices, augmented by random numbers of the seed, the epoch and the sample: the same whoever makes it, and when. */
export function makeBatch(
  { train, input, classes, seed, augmentation }: BatchRecipe,
  { indices, epoch, companions: { maps, examples } }: BatchOrder,
): TrainingBatch {
  const { images, labels } = gatherBatch(train, indices, input);
  if (examples) putExamples(images, examples, { seed, epoch }, indices);
  const [height, width] = input;
  const { cropPadding: crop, flip, noise, cutout } = augmentation;
  const time = { seed, epoch };
  let moved = { images, companions: maps ? [gatherMaps(maps, indices, height, width)] : [] };
  if (crop > 0 || flip)
    moved = augmentBatch(moved.images, moved.companions, drawTransforms({ crop, flip }, time, indices));
  if (noise > 0) moved = { ...moved, images: addNoise(moved.images, noise, time, indices) };
  // The map loses the square as well: what is not in the image is not salient.
  if (cutout > 0) moved = cutOut(moved.images, moved.companions, cutout, time, indices);
  return {
    images: moved.images,
    labels,
    oneHot: oneHot(labels, classes),
    saliency: moved.companions[0],
    sampleIndices: [...indices],
  };
}

/** Puts adversarial examples in the place of their images, as often as `share` says. Whatever augments the image augments the example. */
function putExamples(
  { data }: NdArray,
  { images, share }: TransferredExamples,
  { seed, epoch }: { readonly seed: number; readonly epoch: number },
  indices: Uint32Array,
): void {
  const size = data.length / indices.length;
  indices.forEach((index, row) => {
    const example = images.get(index);
    if (!example) return;
    const [drawn = 1] = uniform({ seed, stream: 'examples', step: epoch, sample: index }, 1);
    if (drawn >= share) return;
    for (let i = 0; i < size; i++) data[row * size + i] = (example[i] ?? 0) / 255;
  });
}

function oneHot({ data }: NdArray, classes: number): NdArray {
  const rows = new Float32Array(data.length * classes);
  data.forEach((label, row) => {
    rows[row * classes + label] = 1;
  });
  return float32(rows, [data.length, classes]);
}
