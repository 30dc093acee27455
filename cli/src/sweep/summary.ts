import { type Proportion, type RobustnessReport, type TrainingRun } from '@jsigr/proto';
import { maskingName, percent, proportion, shortName, stateName } from '../terminal/format.ts';
import { type Column, type Paint, table } from '../terminal/table.ts';
import { axesOfGroups, groupsOf, pointOfGroup, type Spread, type SweepGroup } from './groups.ts';
import { type Kind, placeText, worstOf } from './robustness.ts';

/** What became of one run. */
export interface SweepResult {
  readonly values: readonly string[];
  /** The same for runs that differ in nothing but their seed. */
  readonly recipe: string;
  readonly run: TrainingRun;
  /** Median wall seconds of an epoch. */
  readonly secondsPerEpoch: number;
  /** Of the newest checkpoint, 0..1. */
  readonly heldOutAccuracy: number | undefined;
  readonly report: RobustnessReport | undefined;
  /** It was to be attacked, and that did not succeed. */
  readonly evaluationFailed?: boolean;
}

/** One row a run, and where there are several seeds one row for all runs that differ in nothing else. */
export function summaryText(axes: readonly string[], results: readonly SweepResult[], paint?: Paint): string {
  const groups = groupsOf(axes, results);
  const runs = runsText(axes, results, paint);
  return groups.length < results.length ? `${runs}\n${groupsText(axes, groups, results, paint)}` : runs;
}

/** Mean and standard deviation over the seeds. What no other group beats in accuracy, robustness and cost at once is marked. */
function groupsText(
  axes: readonly string[],
  groups: readonly SweepGroup[],
  results: readonly SweepResult[],
  paint?: Paint,
): string {
  const attacked = groups.some(({ clean }) => clean);
  const best = front(groups.map(pointOfGroup));
  const titles = ['SEEDS', 'HELD-OUT', 'S/EPOCH', ...(attacked ? robustTitles(results) : [])];
  const columns: Column[] = [
    ...axesOfGroups(axes).map((axis) => ({ title: axis.toUpperCase() })),
    ...titles.map((title): Column => ({ title, align: 'right' })),
    ...(attacked ? [{ title: 'MASKING' }, { title: 'PARETO' }] : []),
  ];
  const share = (spread: Spread | undefined) => (spread ? `${percent(spread.mean)}${around(spread, 100, 1)}` : '-');
  const rows = groups.map((group, i) => [
    ...group.values,
    group.runs < group.tried ? `${group.runs} of ${group.tried}` : String(group.runs),
    share(group.heldOut),
    group.seconds ? `${group.seconds.mean.toFixed(1)}${around(group.seconds, 1, 1)}` : '-',
    ...(attacked
      ? [share(group.clean), share(group.whiteBox), share(group.transferred), group.masking, best[i] ? '*' : '']
      : []),
  ]);
  const note = `mean ± standard deviation over the seeds${attacked ? '; * no other row is better in clean accuracy, robust accuracy and seconds at once' : ''}`;
  return `${table(columns, rows, paint)}${note}\n`;
}

function around({ deviation }: Spread, scale: number, digits: number): string {
  return deviation === undefined ? '' : ` ± ${(scale * deviation).toFixed(digits)}`;
}

function robustTitles(results: readonly SweepResult[]): string[] {
  const reports = results.map(({ report }) => report);
  const at = (kind: Kind) => placeText(reports, kind);
  return ['CLEAN', `WHITE-BOX${at('whiteBox')}`, `TRANSFERRED${at('transferred')}`];
}

/** Runs that no other one beats in accuracy, robustness and cost at once are marked. */
function runsText(axes: readonly string[], results: readonly SweepResult[], paint?: Paint): string {
  const attacked = results.some(({ report }) => report);
  const best = front(results.map(pointOf));
  const titles = ['HELD-OUT', 'S/EPOCH', ...(attacked ? robustTitles(results) : [])];
  const columns: Column[] = [
    ...axes.map((axis) => ({ title: axis.toUpperCase() })),
    { title: 'STATE' },
    ...titles.map((title): Column => ({ title, align: 'right' })),
    ...(attacked ? [{ title: 'MASKING' }, { title: 'PARETO' }] : []),
    { title: 'MODEL' },
  ];
  const rows = results.map(({ values, run, report, heldOutAccuracy, secondsPerEpoch }, i) => [
    ...values,
    stateName(run.state),
    heldOutAccuracy === undefined ? '-' : percent(heldOutAccuracy),
    secondsPerEpoch.toFixed(1),
    ...(attacked ? robustCells(report) : []),
    ...(attacked ? [report ? maskingName(report.masking) : '-', best[i] ? '*' : ''] : []),
    shortName(run.bestModel || run.latestModel) || '-',
  ]);
  const counts = [...new Set(results.flatMap(({ report }) => report?.cleanAccuracy?.trials ?? []))].join(', ');
  const note = attacked
    ? `${counts} samples each, 95 % intervals; * no other run is better in clean accuracy, robust accuracy and seconds at once\n`
    : '';
  return `${table(columns, rows, paint)}${note}`;
}

function robustCells(report: RobustnessReport | undefined): string[] {
  return [report?.cleanAccuracy, ...robustShares(report)].map((share) => proportion(share));
}

function robustShares(report: RobustnessReport | undefined): (Proportion | undefined)[] {
  return [worstOf(report, 'whiteBox')?.whiteBox, worstOf(report, 'transferred')?.transferred];
}

/** Larger is better: clean accuracy, accuracy in the worst case at the largest radii, and minus the cost. */
export type Point = readonly [clean: number, robust: number, speed: number];

function pointOf({ report, secondsPerEpoch }: SweepResult): Point | undefined {
  const shares = robustShares(report).filter((share): share is Proportion => share !== undefined);
  if (!report?.cleanAccuracy || shares.length === 0) return undefined;
  return [report.cleanAccuracy.value, Math.min(...shares.map(({ value }) => value)), -secondsPerEpoch];
}

/** Which of the points no other one beats: at least as good in everything and better in something. */
export function front(points: readonly (Point | undefined)[]): boolean[] {
  const beats = (a: Point, b: Point) =>
    a.every((value, i) => value >= (b[i] ?? 0)) && a.some((value, i) => value > (b[i] ?? 0));
  return points.map((point) => point !== undefined && !points.some((other) => other && beats(other, point)));
}
