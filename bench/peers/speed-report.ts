import { median } from '../statistics.ts';
import type { Series, SpeedRun } from './speed.ts';

/** What the engine is held to on a device. */
export interface Bounds {
  /** On ours / peer, by peer and job; for `jsigr` with PyTorch by network. */
  readonly ratios: Readonly<Record<string, number>>;
  /** The part of the practical peak that the resnet8 J-SIGR step reaches. */
  readonly peak?: number;
}

export const BOUNDS = {
  cpu: {
    ratios: {
      'torch forward': 0.8,
      'torch train': 0.95,
      'torch pgd': 0.75,
      'torch jsigr lenet': 0.65,
      'torch jsigr resnet8': 0.55,
      'tensorflow jsigr': 1,
    },
    peak: 0.6,
  },
  cuda: { ratios: { 'torch jsigr resnet18': 1 } },
} as const satisfies Readonly<Record<string, Bounds>>;
/** Fewer undisturbed samples than this say nothing. */
const FEWEST = 3;

export interface Summary {
  readonly workload: string;
  readonly job: Series['job'];
  readonly peer: string;
  readonly variant: string;
  readonly median: number;
  readonly best: number;
  /** Samples that count, of so many. */
  readonly used: number;
  readonly taken: number;
  /** True where too few samples were undisturbed, and all were used. */
  readonly isDisturbed: boolean;
  readonly flops: number | undefined;
}

/** Medians over the samples during which the machine was quiet; over all of them, and marked, where those are too few. */
export function summarise(series: readonly Series[], mostOtherCores: number): Summary[] {
  const each = series.map(({ workload, job, peer, variant, flops, samples }): Summary => {
    const quiet = samples.filter(({ otherCores }) => otherCores <= mostOtherCores);
    const isDisturbed = quiet.length < Math.min(FEWEST, samples.length);
    const times = (isDisturbed ? samples : quiet).map(({ milliseconds }) => milliseconds);
    const numbers = { median: median(times), best: Math.min(...times), used: times.length, taken: samples.length };
    return { workload, job, peer, variant, flops, isDisturbed, ...numbers };
  });
  // Of a peer's variants the one with the lowest median is the one that its user would take.
  const isBest = (row: Summary) =>
    !each.some(
      (other) =>
        other.workload === row.workload &&
        other.job === row.job &&
        other.peer === row.peer &&
        other.median < row.median,
    );
  return each.filter(isBest);
}

/** The tables of a run, in Markdown. */
export function speedReport(run: SpeedRun, mostOtherCores: number, bounds: Bounds = BOUNDS.cpu): string {
  const rows = summarise(run.series, mostOtherCores);
  const others = run.series.flatMap(({ samples }) => samples.map(({ otherCores }) => otherCores));
  const disturbed = others.filter((cores) => cores > mostOtherCores).length;
  const peers = Object.keys(run.versions);
  const workloads = [...new Set(rows.map(({ workload }) => workload))];
  return [
    `machine busy: others used ${median(others).toFixed(2)} cores (median; at most ${Math.max(...others).toFixed(2)}); ` +
      `${disturbed} of ${others.length} samples were disturbed (more than ${mostOtherCores} cores)`,
    '',
    rowOfCells([
      'job',
      ...peers.map((peer) => `${peer}, ms: median / best`),
      ...peers.slice(1).map((peer) => `ours / ${peer}`),
      'ours, GFLOP/s (of the peak)',
    ]),
    `|${' --- |'.repeat(2 * peers.length + 1)}`,
    ...workloads.flatMap((workload) => {
      const here = rows.filter((row) => row.workload === workload);
      const peak = here.find(({ job }) => job === 'peak');
      const jobs = [...new Set(here.map(({ job }) => job))].filter((job) => job !== 'peak');
      return jobs.map((job) =>
        jobRow(
          here.filter((row) => row.job === job),
          peers,
          peak,
          bounds,
        ),
      );
    }),
    '',
    ...workloads.flatMap((workload) => {
      const peak = rows.find((row) => row.workload === workload && row.job === 'peak');
      return peak
        ? [
            `practical convolution peak (a chain of 3x3 convolutions) beside ${workload}: ${rate(peak).toFixed(0)} GFLOP/s${mark(peak)}`,
          ]
        : [];
    }),
    ...(rows.some(({ isDisturbed }) => isDisturbed)
      ? ['(!): too few undisturbed samples; all were used, and the figures say little']
      : []),
  ].join('\n');
}

function jobRow(rows: readonly Summary[], peers: readonly string[], peak: Summary | undefined, bounds: Bounds): string {
  const of = (peer: string) => rows.find((row) => row.peer === peer);
  const ours = of('ours');
  const name = `${rows[0]?.workload} ${rows[0]?.job}`;
  const times = peers.map((peer) => timesCell(of(peer)));
  const ratios = peers.slice(1).map((peer) => ratioCell(ours, of(peer), bounds));
  return rowOfCells([name, ...times, ...ratios, rateCell(ours, peak, bounds)]);
}

function rowOfCells(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function timesCell(row: Summary | undefined): string {
  if (!row) return '-';
  const variant = row.variant === '' ? '' : ` (${row.variant})`;
  return `${digits(row.median)} / ${digits(row.best)}${variant}${mark(row)}`;
}

/** The ratio of the medians, and whether a bound on it is held. */
function ratioCell(ours: Summary | undefined, peer: Summary | undefined, { ratios }: Bounds): string {
  if (!ours || !peer) return '-';
  const ratio = ours.median / peer.median;
  const [network = ''] = ours.workload.split(' ');
  const bound = ratios[`${peer.peer} ${ours.job}`] ?? ratios[`${peer.peer} ${ours.job} ${network}`];
  const verdict = bound === undefined ? '' : ` (at most ${bound}: ${ratio <= bound ? 'held' : 'NOT HELD'})`;
  return `${ratio.toFixed(2)}${verdict}`;
}

function rateCell(ours: Summary | undefined, peak: Summary | undefined, { peak: least }: Bounds): string {
  if (!ours) return '-';
  if (!peak) return rate(ours).toFixed(0);
  const part = rate(ours) / rate(peak);
  const bounded = least !== undefined && ours.job === 'jsigr' && ours.workload.startsWith('resnet8');
  const verdict = bounded ? `; at least ${100 * least} %: ${part >= least ? 'held' : 'NOT HELD'}` : '';
  return `${rate(ours).toFixed(0)} (${(100 * part).toFixed(0)} %${verdict})`;
}

/** Thousand millions of useful floating-point operations a second. */
function rate({ flops = Number.NaN, median: milliseconds }: Summary): number {
  return flops / milliseconds / 1e6;
}

const mark = ({ isDisturbed }: Summary): string => (isDisturbed ? ' (!)' : '');
const digits = (milliseconds: number): string => milliseconds.toFixed(milliseconds < 10 ? 2 : 1);
