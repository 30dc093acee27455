import { float32, type NdArray } from '@jsigr/engine';
import { SaliencyError } from './errors.ts';

/** Ground truth `[batch, height, width]`, row-major: not zero where a pixel belongs to what makes the class (as a split's masks). */
export type GroundTruth = ArrayLike<number>;

/** Each image's map `[batch, height, width, 1]` divided by its largest absolute value: in [-1,1], in [0,1] if nothing is negative. A map of zeros stays. */
export function normalise(map: NdArray): NdArray {
  const normalised = new Float32Array(map.data.length);
  const [batch, size] = sizesOf(map);
  for (let image = 0; image < batch; image++) {
    const values = map.data.subarray(image * size, (image + 1) * size) as Float32Array;
    const largest = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    if (largest > 0)
      normalised.set(
        values.map((value) => value / largest),
        image * size,
      );
  }
  return float32(normalised, map.shape);
}

/**
 * Share of each image's relevance that lies in the mask, 0..1 (Arras et al., arXiv 2003.07258, "relevance mass accuracy"). Relevance is the absolute
 * value of the map; a map of zeros has 0. A map that knows nothing has about the mask's share of the pixels.
 */
export function relevanceMass(map: NdArray, mask: GroundTruth): number[] {
  return perImage(map, mask, (relevance, inside) => {
    const total = relevance.reduce((sum, value) => sum + value, 0);
    const within = relevance.reduce((sum, value, i) => sum + (inside(i) ? value : 0), 0);
    return total === 0 ? 0 : within / total;
  });
}

/**
 * Share of the k most relevant pixels that lie in the mask, where k is the number of pixels in the mask, 0..1 (Arras et al., "relevance rank
 * accuracy"); of equally relevant pixels the first count. 0 where the mask is empty.
 */
export function relevanceRank(map: NdArray, mask: GroundTruth): number[] {
  return perImage(map, mask, (relevance, inside) => {
    const count = [...relevance.keys()].filter(inside).length;
    const top = ranked(relevance).slice(0, count);
    return count === 0 ? 0 : top.filter(inside).length / count;
  });
}

/** Whether the most relevant pixel (the first of equals) lies in the mask (Zhang et al., arXiv 1608.00507, without tolerance). A map of zeros misses. */
export function pointingGame(map: NdArray, mask: GroundTruth): boolean[] {
  return perImage(map, mask, (relevance, inside) => {
    let best = 0;
    relevance.forEach((value, i) => {
      if (value > (relevance[best] ?? 0)) best = i;
    });
    return (relevance[best] ?? 0) > 0 && inside(best);
  });
}

/**
 * How concentrated each image's relevance is: the Gini index of the absolute values (Hurley and Rickard, arXiv 0811.4706; of explanations Chalasani et
 * al., arXiv 1810.06583). 0: all pixels alike, towards 1: a single one has it all; a map of zeros has 0.
 */
export function sparseness(map: NdArray): number[] {
  return relevances(map).map((relevance) => {
    const sorted = relevance.toSorted();
    const total = sorted.reduce((sum, value) => sum + value, 0);
    const below = sorted.reduce((sum, value, i) => sum + value * (sorted.length - i - 0.5), 0);
    return total === 0 ? 0 : 1 - (2 * below) / (total * sorted.length);
  });
}

/**
 * Share of each image's most relevant pixels (`share` of all, at least one; of equals the first) that are also among the other map's: the top-k intersection of
 * Ghorbani et al., arXiv 1710.10547. 1: both maps point at the same pixels; maps that know nothing of each other agree on about `share`.
 * @param share of the pixels, in (0, 1]
 */
export function topOverlap(map: NdArray, other: NdArray, share = 0.1): number[] {
  if (!(share > 0 && share <= 1))
    throw new SaliencyError('INVALID_SETTING', 'share', `${share} given, above 0 and up to 1 allowed`);
  const [first, second] = [relevances(map), relevances(other)];
  if (map.shape.join() !== other.shape.join())
    throw new SaliencyError('INVALID_INPUT', 'other', `[${other.shape}] given, [${map.shape}] needed`);
  return first.map((relevance, image) => {
    const count = Math.max(1, Math.round(share * relevance.length));
    const top = new Set(ranked(relevance).slice(0, count));
    const shared = ranked(second[image] ?? relevance)
      .slice(0, count)
      .filter((pixel) => top.has(pixel));
    return shared.length / count;
  });
}

/** The pixels, the most relevant first; of equals the first. */
export function ranked(relevance: Float32Array): number[] {
  return [...relevance.keys()].sort((a, b) => (relevance[b] ?? 0) - (relevance[a] ?? 0) || a - b);
}

/** The absolute values of each image's map. */
export function relevances(map: NdArray): Float32Array[] {
  const [batch, size] = sizesOf(map);
  return Array.from({ length: batch }, (_, image) =>
    (map.data.subarray(image * size, (image + 1) * size) as Float32Array).map(Math.abs),
  );
}

function perImage<Result>(
  map: NdArray,
  mask: GroundTruth,
  measure: (relevance: Float32Array, inside: (pixel: number) => boolean) => Result,
): Result[] {
  const [batch, size] = sizesOf(map);
  if (mask.length !== batch * size)
    throw new SaliencyError(
      'INVALID_INPUT',
      'mask',
      `${mask.length} pixels given, ${batch * size} needed by [${map.shape}]`,
    );
  return relevances(map).map((relevance, image) => measure(relevance, (pixel) => mask[image * size + pixel] !== 0));
}

function sizesOf(map: NdArray): [number, number] {
  const [batch = 0, height = 0, width = 0, channels = 0] = map.shape;
  if (map.dtype !== 'float32' || map.shape.length !== 4 || channels !== 1)
    throw new SaliencyError(
      'INVALID_INPUT',
      'map',
      `${map.dtype} [${map.shape}] given, float32 [batch, height, width, 1] needed`,
    );
  return [batch, height * width];
}
