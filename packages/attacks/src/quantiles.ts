import { incompleteBeta } from './statistics.ts';

/** What a share of samples is turned within, with the ends of its 95 % interval; undefined: more than was tried. JSON-able. */
export interface EpsilonQuantile {
  /** In (0, 1). */
  readonly share: number;
  readonly epsilon: number | undefined;
  readonly low: number | undefined;
  readonly high: number | undefined;
}

const QUARTERS: readonly number[] = [0.25, 0.5, 0.75];
const TAIL = 0.025;

/**
 * Quantiles of radii (the smallest value that at least the share of the samples does not exceed), with intervals between two of the values themselves, which hold
 * for any distribution (e.g. David and Nagaraja, Order Statistics, 7.1). They cover the choice of the samples. Infinity stands for what was not reached.
 */
export function quantilesOf(radii: readonly number[], shares: readonly number[] = QUARTERS): EpsilonQuantile[] {
  const sorted = radii.toSorted((a, b) => a - b);
  const count = sorted.length;
  /** The value of a rank from 1; no value is below the first, and none is known beyond the last. */
  const at = (rank: number) => {
    const value = rank < 1 ? 0 : (sorted[rank - 1] ?? Number.POSITIVE_INFINITY);
    return Number.isFinite(value) ? value : undefined;
  };
  return shares.map((share) => {
    /** Probability that at least `rank` of the samples lie below the true quantile. */
    const atLeast = (rank: number) => (rank < 1 ? 1 : rank > count ? 0 : incompleteBeta(share, rank, count - rank + 1));
    let low = 0;
    while (low < count && 1 - atLeast(low + 1) <= TAIL) low++;
    let high = low + 1;
    while (atLeast(high) > TAIL) high++;
    // A product such as 0.7 x 10 may come out a little above the whole number that it is.
    return { share, epsilon: at(Math.ceil(share * count - 1e-9)), low: at(low), high: at(high) };
  });
}
