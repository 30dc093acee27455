import { mcnemar, wilson } from '@jsigr/attacks';
import { flagsOf, type Outcomes } from './outcomes.ts';
import type { Moments } from './record.ts';

/** A figure over the seeds of a study. */
export interface Estimate {
  readonly mean: number;
  /** Standard deviation over the seeds; undefined with one seed. */
  readonly spread: number | undefined;
  /** 95 %: see `combined`. */
  readonly low: number;
  readonly high: number;
}

/** Half of a 95 % interval of Student's t distribution with 1, 2, ... degrees of freedom; beyond them the normal distribution's. */
const T95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
const Z95 = 1.96;

/** Shares of the same samples, one a seed. */
export function shareOf(outcomes: readonly Outcomes[]): Estimate | undefined {
  const total = outcomes[0]?.total ?? 0;
  if (total === 0) return undefined;
  const means = outcomes.map(({ yes }) => yes / total);
  const mean = average(means);
  const sampling = wilson(Math.round(mean * total), total);
  return combined(means, mean - sampling.low, sampling.high - mean);
}

/** Means over the same samples, one a seed. */
export function meanOf(moments: readonly Moments[]): Estimate | undefined {
  if (moments.length === 0) return undefined;
  const half = average(moments.map(({ deviation, count }) => (Z95 * deviation) / Math.sqrt(Math.max(1, count))));
  return combined(
    moments.map(({ mean }) => mean),
    half,
    half,
  );
}

/** Figures without samples, one a seed: seconds. */
export function figureOf(values: readonly number[]): Estimate | undefined {
  return values.length === 0 ? undefined : combined(values, 0, 0);
}

/**
 * The interval of the mean: half of the seeds' (Student's t) and half of the samples', added in squares. The samples are the same for all seeds, so that
 * more seeds do not make their part smaller.
 */
function combined(means: readonly number[], below: number, above: number): Estimate {
  const mean = average(means);
  if (means.length < 2) return { mean, spread: undefined, low: mean - below, high: mean + above };
  const spread = Math.sqrt(means.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (means.length - 1));
  const half = ((T95[means.length - 2] ?? Z95) * spread) / Math.sqrt(means.length);
  return { mean, spread, low: mean - Math.hypot(half, below), high: mean + Math.hypot(half, above) };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export type Verdict = 'ahead' | 'behind' | 'undecided';

/** Two models on the same samples, seed by seed. */
export interface Comparison {
  /** Mean of first minus second, in shares. */
  readonly difference: number;
  /** McNemar's two-sided p of each seed. */
  readonly p: readonly number[];
  /** Ahead or behind: at every seed, and each time with p < 0.05. */
  readonly verdict: Verdict;
}

const SIGNIFICANT = 0.05;

/**
 * Of the seeds that both have.
 * @param what is compared, for messages
 * @throws Error where they are not of the same samples
 */
export function compare(
  first: ReadonlyMap<number, Outcomes>,
  second: ReadonlyMap<number, Outcomes>,
  what = 'two models',
): Comparison {
  const seeds = [...first].flatMap(([seed, one]) => {
    const other = second.get(seed);
    if (!other) return [];
    if (one.total !== other.total)
      throw new Error(`${what}, seed ${seed}: ${one.total} samples cannot be compared with ${other.total}`);
    const [ours, theirs] = [flagsOf(one), flagsOf(other)];
    const only = ours.filter((flag, k) => flag && !theirs[k]).length;
    const without = ours.filter((flag, k) => !flag && theirs[k]).length;
    return [{ difference: (only - without) / one.total, p: mcnemar(only, without) }];
  });
  const all = (sign: number) =>
    seeds.length > 0 && seeds.every(({ difference, p }) => sign * difference > 0 && p < SIGNIFICANT);
  return {
    difference: seeds.length > 0 ? average(seeds.map(({ difference }) => difference)) : 0,
    p: seeds.map(({ p }) => p),
    verdict: all(1) ? 'ahead' : all(-1) ? 'behind' : 'undecided',
  };
}

/** Whether one interval lies wholly above (or below) another. */
export function compareIntervals(first: Estimate, second: Estimate): Verdict {
  if (first.low > second.high) return 'ahead';
  return first.high < second.low ? 'behind' : 'undecided';
}
