import { setImmediate } from 'node:timers/promises';
import { gatherBatch, type Split } from '@jsigr/datasets';
import { type Engine, float32, type NdArray, sizeOf } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import { methodNamed } from '@jsigr/saliency';
import type { SaliencyMaps } from './saliency-maps.ts';

/** When the saliency maps of the training images are made, of which network, how, and how finely. */
export interface SaliencyPlan {
  /** Whole epochs before the first maps. */
  readonly warmupEpochs: number;
  /** Epochs from one refresh to the next; a teacher's maps are made once. */
  readonly refreshEpochs: number;
  /** Pixels between perturbed points, for methods that have a grid. */
  readonly stride: number;
  /** Name of a saliency method. */
  readonly method: string;
  readonly source: 'self' | 'teacher';
  /** Noisy copies of an image, for methods that average over such; the method's default where absent. */
  readonly samples?: number;
  /** Maps keep their signs, and entries within so many standard deviations of the mean are zero; absent: sizes alone. */
  readonly signedThreshold?: number;
}

/**
 * Makes maps `[batch, height, width, 1]` of what a classifier's output depends on, each scaled so that its largest size is 1.
 * @param labels int32 `[batch]`
 */
export type SaliencyEstimator = (
  engine: Engine,
  classifier: Classifier,
  images: NdArray,
  labels: NdArray,
  options: { readonly stride: number; readonly seed?: number; readonly sampleIndices?: readonly number[] },
) => Promise<NdArray>;

/** The estimator of a method of `@jsigr/saliency`; the map of an image on which nothing matters stays zero. @throws SaliencyError UNKNOWN_METHOD */
export function mapsBy({
  method: name,
  samples,
  signedThreshold,
}: Pick<SaliencyPlan, 'method' | 'samples' | 'signedThreshold'>): SaliencyEstimator {
  const method = methodNamed(name, 'objective.settings.saliencyMethod');
  return async (engine, classifier, images, labels, { stride, ...addresses }) => {
    // Squares that are covered lie side by side: no pixel is left out.
    const known = Object.entries({ stride, size: stride, samples }).filter(
      ([name, value]) => value !== undefined && name in method.settings.shape,
    );
    const settings = Object.fromEntries(known);
    const context = { engine, classifier, images, targets: labels, ...addresses };
    const { map } = await method.explain(context, settings);
    const data = Float32Array.from(map.data);
    const size = sizeOf(map.shape.slice(1));
    for (let from = 0; from < data.length; from += size) {
      const one = data.subarray(from, from + size);
      if (signedThreshold === undefined) one.set(one.map(Math.abs));
      else keepOutliers(one, signedThreshold);
      scaleToOne(one);
    }
    return float32(data, map.shape);
  };
}

/** Sets to zero what lies within `threshold` standard deviations of the mean (Noack et al., arXiv 1912.03430). */
export function keepOutliers(map: Float32Array, threshold: number): void {
  const mean = map.reduce((sum, value) => sum + value, 0) / map.length;
  const deviation = Math.sqrt(map.reduce((sum, value) => sum + (value - mean) ** 2, 0) / map.length);
  map.forEach((value, i) => {
    if (Math.abs(value - mean) <= threshold * deviation) map[i] = 0;
  });
}

function scaleToOne(map: Float32Array): void {
  const largest = map.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  if (largest > 0) for (let i = 0; i < map.length; i++) map[i] = (map[i] ?? 0) / largest;
}

/** Are the maps made (again) before this epoch, counted from 0? */
export function refreshIsDue({ warmupEpochs, refreshEpochs, source }: SaliencyPlan, epoch: number): boolean {
  if (source === 'teacher') return epoch === warmupEpochs;
  return epoch >= warmupEpochs && (epoch - warmupEpochs) % refreshEpochs === 0;
}

/** Images a run of the estimator. */
const BATCH = 64;

/**
 * The maps of the images of a split with these indices; zero for the others. The last batch is filled up with the first images, because
 * shapes are compiled.
 */
export async function saliencyOfSplit(
  { engine, classifier, estimate }: { engine: Engine; classifier: Classifier; estimate: SaliencyEstimator },
  split: Split,
  indices: Uint32Array,
  { stride, seed, signed, signal }: { stride: number; seed: number; signed: boolean; signal?: AbortSignal },
): Promise<SaliencyMaps> {
  const size = classifier.input[0] * classifier.input[1];
  const batch = Math.min(BATCH, indices.length);
  const encode = signed ? (s: number) => Math.round(s * 127) + 128 : (s: number) => Math.round(s * 255);
  const bytes = new Uint8Array(split.count * size).fill(signed ? 128 : 0);
  for (let from = 0; from < indices.length; from += batch) {
    signal?.throwIfAborted();
    const rows = Array.from({ length: batch }, (_, row) => indices[(from + row) % indices.length] ?? 0);
    const { images, labels } = gatherBatch(split, rows, classifier.input);
    const { data } = await estimate(engine, classifier, images, labels, { stride, seed, sampleIndices: rows });
    rows.forEach((index, row) => {
      for (let i = 0; i < size; i++) bytes[index * size + i] = encode(data[row * size + i] ?? 0);
    });
    await setImmediate(); // as between steps: lets signals and timers in
  }
  return { bytes, signed };
}
