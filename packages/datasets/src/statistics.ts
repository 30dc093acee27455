import type { Dataset, Split } from './dataset.ts';

export interface SplitStatistics {
  readonly count: number;
  /** Number of samples of each class, in the order of the labels. */
  readonly perClass: readonly number[];
  /** Mean of each channel, 0..1. */
  readonly mean: readonly number[];
  /** Standard deviation of each channel over all pixels of all images, 0..1. */
  readonly deviation: readonly number[];
  /** Share of the pixels that belong to what makes the class; where the split has masks. */
  readonly maskShare?: number;
}

/** What `show` prints of a split. Means and deviations are of exact integer sums, so they do not depend on the order of the samples. */
export function splitStatistics(split: Split, { input, classes }: Pick<Dataset, 'input' | 'classes'>): SplitStatistics {
  const perClass = classes.map(() => 0);
  for (const label of split.labels) perClass[label] = (perClass[label] ?? 0) + 1;
  const moments = histograms(split.images, input[2]).map(momentsOf);
  return {
    count: split.count,
    perClass,
    mean: moments.map(({ mean }) => mean),
    deviation: moments.map(({ deviation }) => deviation),
    ...(split.masks && { maskShare: split.masks.reduce((sum, bit) => sum + bit, 0) / split.masks.length }),
  };
}

/** How often each byte occurs in each channel. */
function histograms(images: Uint8Array, channels: number): Float64Array[] {
  const seen = Array.from({ length: channels }, () => new Float64Array(256));
  seen.forEach((counts, channel) => {
    for (let i = channel; i < images.length; i += channels) {
      const byte = images[i] ?? 0;
      counts[byte] = (counts[byte] ?? 0) + 1;
    }
  });
  return seen;
}

function momentsOf(counts: Float64Array): { mean: number; deviation: number } {
  let [total, sum, squares] = [0, 0, 0];
  counts.forEach((count, byte) => {
    total += count;
    sum += count * byte;
    squares += count * byte * byte;
  });
  const mean = sum / total;
  return { mean: mean / 255, deviation: Math.sqrt(Math.max(0, squares / total - mean * mean)) / 255 };
}
