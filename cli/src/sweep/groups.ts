import { type Proportion, RunState } from '@jsigr/proto';
import { maskingName } from '../terminal/format.ts';
import { worstOf } from './robustness.ts';
import type { Point, SweepResult } from './summary.ts';

/** A figure over the seeds. */
export interface Spread {
  readonly mean: number;
  /** Standard deviation over the seeds; undefined with one. */
  readonly deviation: number | undefined;
  readonly low: number;
  readonly high: number;
}

/** Runs that differ in nothing but their seed. */
export interface SweepGroup {
  /** Without the seed's; where the runs are called differently, all of their names. */
  readonly values: readonly string[];
  /** Those that succeeded: what the figures are of. */
  readonly runs: number;
  /** All of them. */
  readonly tried: number;
  readonly heldOut: Spread | undefined;
  readonly seconds: Spread | undefined;
  readonly clean: Spread | undefined;
  readonly whiteBox: Spread | undefined;
  readonly transferred: Spread | undefined;
  /** The verdict, or all of them where the seeds have different ones. */
  readonly masking: string;
}

const SEED = 'seed';

/** Axes without the seed. */
export function axesOfGroups(axes: readonly string[]): readonly string[] {
  return axes.filter((axis) => axis !== SEED);
}

/** The runs by what they are but for their seed, in the order in which they come. A run that failed counts for nothing. */
export function groupsOf(axes: readonly string[], results: readonly SweepResult[]): SweepGroup[] {
  const seed = axes.indexOf(SEED);
  const groups = new Map<string, SweepResult[]>();
  for (const result of results) groups.set(result.recipe, [...(groups.get(result.recipe) ?? []), result]);
  return [...groups.values()].map((own) => {
    const names = axes.map((_, i) => [...new Set(own.map(({ values }) => values[i] ?? ''))].join(', '));
    const values = names.filter((_, i) => i !== seed);
    const trained = own.filter(({ run }) => run.state === RunState.RUN_STATE_SUCCEEDED);
    const share = (of: (result: SweepResult) => Proportion | undefined) =>
      sharesOf(trained.flatMap((each) => of(each) ?? []));
    return {
      values,
      runs: trained.length,
      tried: own.length,
      heldOut: spreadOf(trained.flatMap(({ heldOutAccuracy }) => heldOutAccuracy ?? [])),
      seconds: spreadOf(trained.map(({ secondsPerEpoch }) => secondsPerEpoch)),
      clean: share(({ report }) => report?.cleanAccuracy),
      whiteBox: share(({ report }) => worstOf(report, 'whiteBox')?.whiteBox),
      transferred: share(({ report }) => worstOf(report, 'transferred')?.transferred),
      masking:
        [...new Set(trained.flatMap(({ report }) => (report ? [maskingName(report.masking)] : [])))].join(', ') || '-',
    };
  });
}

/** What counts as robust: the worst of what was tried. */
export function robustOf({ whiteBox, transferred }: SweepGroup): Spread | undefined {
  const tried = [whiteBox, transferred].filter((each): each is Spread => each !== undefined);
  return tried.toSorted((a, b) => a.mean - b.mean)[0];
}

/** Larger is better, in each of clean accuracy, robust accuracy and minus the seconds an epoch. */
export function pointOfGroup(group: SweepGroup): Point | undefined {
  const robust = robustOf(group);
  return group.clean && robust && group.seconds ? [group.clean.mean, robust.mean, -group.seconds.mean] : undefined;
}

/** With one seed the ends are those of the samples' interval, with several the spread of the seeds. */
function sharesOf(shares: readonly Proportion[]): Spread | undefined {
  const spread = spreadOf(shares.map(({ value }) => value));
  const [only] = shares;
  return spread && shares.length === 1 && only ? { ...spread, low: only.lower, high: only.upper } : spread;
}

function spreadOf(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length === 1) return { mean, deviation: undefined, low: mean, high: mean };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (values.length - 1));
  return { mean, deviation, low: mean - deviation, high: mean + deviation };
}
