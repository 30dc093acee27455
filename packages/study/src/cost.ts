import { costRatios, type Pair, pairOf, type StudyCell } from './cells.ts';
import type { Verdict } from './estimate.ts';
import { LABELS } from './profile.ts';
import { fastestEpoch, lengthOf } from './training.ts';

/** The most that an epoch of J-SIGR may take, in epochs of another objective. */
export const COST_BOUNDS: readonly (readonly [rival: string, bound: number])[] = [
  [LABELS.adversarial, 0.6],
  [LABELS.standard, 4],
];

/** What an epoch of one objective takes, in epochs of another. */
export interface Cost {
  /** Ahead: within the bound at every seed, by the mean of the epochs and by the fastest alike; behind: beyond it. */
  readonly verdict: Verdict;
  /** The ratios seed by seed, in words. */
  readonly text: string;
}

/** A bound on costs: where the mean of the epochs and the fastest ones disagree, other work on the machine decided, and the bound is undecided. */
export function costOf(pair: Pair, bound: number): Cost {
  const [mean, fastest] = [costRatios(pair), costRatios(pair, fastestEpoch)];
  if (mean.length < pair.seeds.length)
    return { verdict: 'undecided', text: 'times that cannot be compared: different machines, or none' };
  const all = [...mean, ...fastest];
  const within = all.filter((ratio) => ratio <= bound).length;
  const verdict = within === all.length ? 'ahead' : within === 0 ? 'behind' : 'undecided';
  return { verdict, text: `${listed(mean)} (by the fastest epochs ${listed(fastest)})` };
}

/**
 * The time of a row at another's time as a share of that time, seed by seed where there is one: by the fastest epochs, its own or those of the row of the
 * same recipe that set its pace, because what else the machine did is no time of a recipe.
 */
export function sameTimeShares({ ours, theirs, seeds }: Pair, pace: StudyCell | undefined): number[] {
  return seeds.flatMap((seed) => {
    const lengthAt = ({ runs }: StudyCell) => {
      const training = runs.find(({ spec }) => spec.seed === seed)?.training?.value;
      return training ? lengthOf(training) : 0;
    };
    const ratios = [theirs, pace].flatMap((cell) => {
      const pair = cell && pairOf(cell.over([seed]), ours.over([seed]), () => true);
      return pair ? costRatios(pair, fastestEpoch) : [];
    });
    return ratios.length > 0 ? [(Math.min(...ratios) * lengthAt(theirs)) / lengthAt(ours)] : [];
  });
}

const listed = (ratios: readonly number[]) => ratios.map((ratio) => ratio.toFixed(2)).join(', ');
