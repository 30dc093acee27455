import type { Split } from '@jsigr/datasets';
import { type Engine, float32, type NdArray, sizeOf } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import { perturbation } from '@jsigr/saliency';

/** When the saliency maps of the training images are made, and how finely. */
export interface SaliencyPlan {
  /** Whole epochs before the first maps. */
  readonly warmupEpochs: number;
  /** Epochs from one refresh to the next. */
  readonly refreshEpochs: number;
  /** Pixels between perturbed points. */
  readonly stride: number;
}

/**
 * Makes maps `[batch, height, width, 1]` of what a classifier's logits depend on, each scaled so that its largest value is 1.
 * @param labels int32 `[batch]`
 */
export type SaliencyEstimator = (
  engine: Engine,
  classifier: Classifier,
  images: NdArray,
  labels: NdArray,
  options: { readonly stride: number },
) => Promise<NdArray>;

/** Perturbation saliency (Greydanus et al., arXiv 1711.00138); the map of an image on which nothing matters stays zero. */
export const perturbationMaps: SaliencyEstimator = async (engine, classifier, images, labels, { stride }) => {
  const { map } = await perturbation.explain({ engine, classifier, images, targets: labels }, { stride });
  const data = Float32Array.from(map.data);
  const [batch = 1] = map.shape;
  const size = data.length / batch;
  for (let row = 0; row < batch; row++) {
    const one = data.subarray(row * size, (row + 1) * size);
    const largest = one.reduce((a, b) => Math.max(a, b), 0);
    if (largest > 0) for (let i = 0; i < size; i++) one[i] = (one[i] ?? 0) / largest;
  }
  return float32(data, map.shape);
};

/** Are the maps made (again) before this epoch, counted from 0? */
export function refreshIsDue({ warmupEpochs, refreshEpochs }: SaliencyPlan, epoch: number): boolean {
  return epoch >= warmupEpochs && (epoch - warmupEpochs) % refreshEpochs === 0;
}

/** Images a run of the estimator. */
const BATCH = 64;

/**
 * The maps of all images of a split, `[count, height, width]`, 0..255 (a map for each of 60,000 images of 28x28 takes 47 MB).
 * The last batch is filled up with the split's first images, because shapes are compiled.
 */
export async function saliencyOfSplit(
  engine: Engine,
  classifier: Classifier,
  split: Split,
  estimate: SaliencyEstimator,
  { stride, signal }: { readonly stride: number; readonly signal?: AbortSignal },
): Promise<Uint8Array> {
  const [height, width] = classifier.input;
  const imageSize = sizeOf(classifier.input);
  const mapSize = height * width;
  const batch = Math.min(BATCH, split.count);
  const maps = new Uint8Array(split.count * mapSize);
  for (let from = 0; from < split.count; from += batch) {
    signal?.throwIfAborted();
    const indices = Array.from({ length: batch }, (_, row) => (from + row) % split.count);
    const images = new Float32Array(batch * imageSize);
    indices.forEach((index, row) => {
      const bytes = split.images.subarray(index * imageSize, (index + 1) * imageSize);
      for (let i = 0; i < imageSize; i++) images[row * imageSize + i] = (bytes[i] ?? 0) / 255;
    });
    const labels = Int32Array.from(indices, (index) => split.labels[index] ?? 0);
    const estimated = await estimate(
      engine,
      classifier,
      float32(images, [batch, ...classifier.input]),
      { dtype: 'int32', shape: [batch], data: labels },
      { stride },
    );
    const wanted = Math.min(batch, split.count - from) * mapSize;
    for (let i = 0; i < wanted; i++) maps[from * mapSize + i] = Math.round((estimated.data[i] ?? 0) * 255);
  }
  return maps;
}
