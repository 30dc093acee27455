import { AttackError } from './errors.ts';
import type { Cell, Ledger } from './ledger.ts';
import type { NormName } from './norms.ts';
import type { Source } from './plan.ts';
import { attackNamed } from './registry.ts';
import { clopperPearson, mcnemar } from './statistics.ts';

/** A share of samples with the exact 95 % interval of Clopper and Pearson, which covers the choice of the samples, not the weakness of an attack. */
export interface ExactShare {
  /** count / total */
  readonly value: number;
  readonly count: number;
  readonly total: number;
  readonly low: number;
  readonly high: number;
}

/** How two models did on the same samples. */
export interface PairedShares {
  readonly first: ExactShare;
  readonly second: ExactShare;
  /** Samples that only one of them has right. */
  readonly onlyFirst: number;
  readonly onlySecond: number;
  /** McNemar's exact two-sided p: of so uneven a split between the two, or a more uneven one, if both models are equally good. */
  readonly p: number;
}

/** Worst cases as a report has them: under all attacks on the models themselves, or under all that were made on surrogates. */
export interface ComparedBall extends PairedShares {
  readonly norm: NormName;
  readonly epsilon: number;
  readonly source: Source;
}

/** JSON-able. */
export interface LedgerComparison {
  /** Samples that both ledgers have; everything is counted on them. */
  readonly samples: number;
  /** Correctly classified without attack. */
  readonly clean: PairedShares;
  /** For each norm, radius and kind of attack that both ledgers have. */
  readonly robust: readonly ComparedBall[];
}

/**
 * Two evaluations of the same samples, image by image.
 * @throws AttackError LEDGER_MISMATCH: no sample in common, labels that differ, no radius in common
 */
export function compareLedgers(first: Ledger, second: Ledger): LedgerComparison {
  const theirs = new Map(second.clean.map(({ sample, label }) => [sample, label]));
  const common = first.clean.filter(({ sample }) => theirs.has(sample));
  if (common.length === 0) throw mismatch('samples', 'the two have none in common');
  const other = common.find(({ sample, label }) => theirs.get(sample) !== label);
  if (other) throw mismatch('labels', `sample ${other.sample} has another in each: they are not the same data`);
  const balls = ballsOf(first).filter((ball) => ballsOf(second).some((each) => keyOf(each) === keyOf(ball)));
  if (balls.length === 0)
    throw mismatch('epsilons', 'the two have none in common, in the same norm and for the same kind of attack');
  const samples = common.map(({ sample }) => sample);
  return {
    samples: samples.length,
    clean: paired(samples, correctSamples(first), correctSamples(second)),
    robust: balls.map((ball) => ({
      ...ball,
      ...paired(samples, robustSamples(first, ball), robustSamples(second, ball)),
    })),
  };
}

interface Ball {
  readonly norm: NormName;
  readonly epsilon: number;
  /** Attacks made on whom; by default on anybody. */
  readonly source?: Source;
}

/** Samples that are right without attack and withstand every attack in the ball and in smaller ones. Controls are no attacks. */
export function robustSamples(ledger: Ledger, { norm, epsilon, source }: Ball): ReadonlySet<number> {
  const counts = ledger.cells.map((cell) => {
    const made = sourceOf(cell);
    return made !== undefined && made === (source ?? made) && cell.norm === norm && cell.epsilon <= epsilon;
  });
  const robust = correctSamples(ledger);
  for (const { cell, rows } of ledger.units)
    if (counts[cell]) for (const row of rows) if (row.success) robust.delete(row.sample);
  return robust;
}

function correctSamples({ clean }: Ledger): Set<number> {
  return new Set(clean.filter(({ prediction, label }) => prediction === label).map(({ sample }) => sample));
}

/** Ascending, as in a report. */
function ballsOf({ cells }: Ledger): Required<Ball>[] {
  const balls = cells.flatMap((cell) => {
    const source = sourceOf(cell);
    return source ? [{ norm: cell.norm, epsilon: cell.epsilon, source }] : [];
  });
  return [...new Map(balls.map((ball) => [keyOf(ball), ball])).values()].sort(
    (a, b) => a.norm.localeCompare(b.norm) || b.source.localeCompare(a.source) || a.epsilon - b.epsilon,
  );
}

function keyOf({ norm, epsilon, source }: Ball): string {
  return `${norm} ${epsilon} ${source}`;
}

/** A ledger does not say on whom a cell was made: the attack does, unless a plan says otherwise, which the contract's cannot. */
function sourceOf({ attack }: Cell): Source | undefined {
  const { access } = attackNamed(attack);
  if (access === 'control') return undefined;
  return access === 'transfer' ? 'surrogates' : 'target';
}

function paired(samples: readonly number[], first: ReadonlySet<number>, second: ReadonlySet<number>): PairedShares {
  const count = (holds: (sample: number) => boolean) => samples.filter(holds).length;
  const onlyFirst = count((sample) => first.has(sample) && !second.has(sample));
  const onlySecond = count((sample) => second.has(sample) && !first.has(sample));
  return {
    first: share(
      count((sample) => first.has(sample)),
      samples.length,
    ),
    second: share(
      count((sample) => second.has(sample)),
      samples.length,
    ),
    onlyFirst,
    onlySecond,
    p: mcnemar(onlyFirst, onlySecond),
  };
}

function share(count: number, total: number): ExactShare {
  return { value: count / total, count, total, ...clopperPearson(count, total) };
}

function mismatch(field: string, message: string): AttackError {
  return new AttackError('LEDGER_MISMATCH', field, message);
}
