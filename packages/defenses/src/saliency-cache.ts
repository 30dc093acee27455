import { setImmediate } from 'node:timers/promises';
import { gatherBatch, type Split } from '@jsigr/datasets';
import { type Engine, float32, type NdArray } from '@jsigr/engine';
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
 * The maps of the images of a split with these indices, `[count, height, width]`, 0..255 (for 60,000 images of 28x28 that is 47 MB); zero for the others.
 * The last batch is filled up with the first images, because shapes are compiled.
 */
export async function saliencyOfSplit(
  { engine, classifier, estimate }: { engine: Engine; classifier: Classifier; estimate: SaliencyEstimator },
  split: Split,
  indices: Uint32Array,
  { stride, signal }: { readonly stride: number; readonly signal?: AbortSignal },
): Promise<Uint8Array> {
  const size = classifier.input[0] * classifier.input[1];
  const batch = Math.min(BATCH, indices.length);
  const maps = new Uint8Array(split.count * size);
  for (let from = 0; from < indices.length; from += batch) {
    signal?.throwIfAborted();
    const rows = Array.from({ length: batch }, (_, row) => indices[(from + row) % indices.length] ?? 0);
    const { images, labels } = gatherBatch(split, rows, classifier.input);
    const { data } = await estimate(engine, classifier, images, labels, { stride });
    rows.forEach((index, row) => {
      for (let i = 0; i < size; i++) maps[index * size + i] = Math.round((data[row * size + i] ?? 0) * 255);
    });
    await setImmediate(); // as between steps: lets signals and timers in
  }
  return maps;
}
