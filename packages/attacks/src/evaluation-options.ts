import type { Split } from '@jsigr/datasets';
import { type Classifier, type ImageShape, isQueried, mayAsk } from '@jsigr/models';
import { type Certification, checkCertification } from './certified.ts';
import { AttackError } from './errors.ts';
import type { Ledger } from './ledger.ts';
import type { AttackLoss } from './losses.ts';
import type { NormName } from './norms.ts';
import { checkPlan, type PlanEntry, type PlannedAttack } from './plan.ts';
import type { LedgerRow } from './runner.ts';

/** Rows that are computed together unless told otherwise. */
export const BATCH_SIZE = 64;

export interface EvaluationOptions {
  readonly target: Classifier;
  /** Transfer attacks are made on them together. */
  readonly surrogates: readonly Classifier[];
  readonly split: Split;
  /** Which samples of the split, each once. */
  readonly indices: readonly number[];
  /** [height, width, channels] of the split's images. */
  readonly input: ImageShape;
  readonly plan: readonly PlanEntry[];
  /** Each attack meets only the samples that the ones before it left standing (AutoAttack's way). By default each meets all. */
  readonly cascade?: boolean;
  /** u32, for every random number. */
  readonly seed: number;
  /**
   * 1..4096. The samples are evaluated in blocks of so many, each on its own: shards that are cut between blocks give together exactly what one
   * evaluation gives. Results are bit-identical for equal batch sizes, and equal up to rounding otherwise.
   */
  readonly batchSize?: number;
  /**
   * Look for masked gradients, at the largest radius of the plan's first norm, on the first samples that are correctly classified (128 at most; where
   * there are fewer than 8, nothing is assessed and a flag says so). It costs about 200 passes a sample and 500 queries.
   */
  readonly assessMasking?: boolean;
  /**
   * Also look for the smallest radius at which each attack but controls turns a sample, up to the attack's largest one, on the first so many samples that are
   * correctly classified. It costs about eleven times as much as the attack at one radius, outside the budget. Not in a shard, whose report says nothing.
   */
  readonly smallestEpsilons?: number;
  /** Also certify the smoothed classifier, outside the budget. Not in a shard. */
  readonly certification?: Certification;
  /** No step is begun once it is spent; what was not attempted, or not to the end, is counted and said. */
  readonly budget?: Budget;
  /**
   * Attack only every `count`-th block, from block `index` on. What counts is the ledger: those of all shards, merged (`mergeLedgers`) and given to
   * `resume`, make the report of the whole. The report of one shard says nothing.
   */
  readonly shard?: { readonly index: number; readonly count: number };
  /** An earlier evaluation of the same that was interrupted: what it holds is not done again. */
  readonly resume?: Ledger;
  /** Nothing is attempted beyond what `resume` holds: so the ledgers of shards make the report of what they found, whatever a budget left them undone. */
  readonly reportOnly?: boolean;
  /** Called after each unit of work with all that is known, to be kept for `resume`. */
  readonly onLedger?: (ledger: Ledger) => void | Promise<void>;
  /** Where the first attempt on a sample starts: the adversarial image that fooled an earlier checkpoint, `[height * width * channels]`. */
  readonly startOf?: (sample: number) => Float32Array | undefined;
  /** What gradient attacks raise instead of their settings' loss: the hook of adaptive attacks. */
  readonly loss?: AttackLoss;
  readonly onProgress?: (progress: EvaluationProgress) => void;
  /** Every adversarial image as it is made, with the settings of its attack; not those of a ledger that is resumed. */
  readonly onExample?: (row: LedgerRow, image: Float32Array, settings: Readonly<Record<string, unknown>>) => void;
  readonly signal?: AbortSignal;
}

/**
 * Limits of what the attacks of a plan spend together. What is looked at besides (clean images, masking) does not count. It is spent in the plan's order,
 * epsilon by epsilon and block by block, and overrun by one step of one block at most, and the judge's look at that block. With a limit of passes alone the
 * result is the same every time, resumed or not; a limit of seconds depends on the machine.
 */
export interface Budget {
  /** Images through a model; the judge's look at each attempt is one of them. */
  readonly forwards?: number;
  readonly backwards?: number;
  /** Of the attacks' own time; those of a ledger that is resumed count too, where it knows them. */
  readonly seconds?: number;
}

/** Where an evaluation stands: `cell` of `cells` (one attack at one epsilon) and samples in it. */
export interface EvaluationProgress {
  readonly attack: string;
  readonly norm: NormName;
  readonly epsilon: number;
  readonly cell: number;
  readonly cells: number;
  readonly attempts: number;
  readonly attemptsAtMost: number;
}

/** What must fit together before anything is attacked. */
type Checked = Pick<
  EvaluationOptions,
  'target' | 'surrogates' | 'split' | 'indices' | 'input' | 'plan' | 'budget' | 'smallestEpsilons' | 'certification'
>;

/** @throws AttackError naming what does not fit. @returns the plan with everything filled in. */
export function checkedPlan(options: Checked, batchSize: number): PlannedAttack[] {
  const { target, surrogates, split, indices, input, plan, budget = {} } = options;
  const size = input[0] * input[1] * input[2];
  if (target.classes < 2)
    throw new AttackError(
      'INVALID_INPUT',
      'target',
      `${target.id} has ${target.classes} class; at least 2 classes are needed to take one for another`,
    );
  for (const [field, { id, input: needed, classes }] of [
    ['target', target] as const,
    ...surrogates.map((surrogate, i) => [`surrogates[${i}]`, surrogate] as const),
  ])
    if (needed.join() !== input.join() || classes !== target.classes)
      throw new AttackError(
        'INVALID_INPUT',
        field,
        `${id} takes ${needed.join('x')} images and ${classes} classes, not ${input.join('x')} and ${target.classes}`,
      );
  if (split.images.length !== split.count * size)
    throw new AttackError(
      'INVALID_INPUT',
      'split',
      `${split.count} images do not have ${input.join('x')} numbers each`,
    );
  checkIndices(options);
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > 4096)
    throw new AttackError('INVALID_INPUT', 'batchSize', `${batchSize} is not an integer in 1..4096`);
  for (const [name, limit] of Object.entries(budget)) {
    const [fits, kind] = name === 'seconds' ? [true, 'number'] : [Number.isInteger(limit), 'integer'];
    if (!(limit > 0 && fits))
      throw new AttackError('INVALID_BUDGET', `budget.${name}`, `${limit} is not a positive ${kind}`);
  }
  const { smallestEpsilons, certification } = options;
  if (smallestEpsilons !== undefined && !(Number.isInteger(smallestEpsilons) && smallestEpsilons > 0))
    throw new AttackError('INVALID_INPUT', 'smallestEpsilons', `${smallestEpsilons} is not a positive integer`);
  if (smallestEpsilons !== undefined && isQueried(target) && target.budget)
    throw new AttackError(
      'INVALID_INPUT',
      'smallestEpsilons',
      `${target.id} is asked within a budget, and how many questions a search takes is not known beforehand`,
    );
  if (certification) checkCertification(certification, target);
  if (!mayAsk(target, indices.length))
    throw new AttackError(
      'INVALID_BUDGET',
      'maxQueries',
      `the clean samples alone are ${indices.length} queries: allow more, or take fewer samples`,
    );
  return checkPlan(plan, size, { target, surrogates: surrogates.length });
}

function checkIndices({ target, split, indices }: Checked): void {
  if (indices.length === 0) throw new AttackError('INVALID_INPUT', 'indices', 'no sample to evaluate');
  const seen = new Set<number>();
  for (const index of indices) {
    if (!Number.isInteger(index) || index < 0 || index >= split.count)
      throw new AttackError('INVALID_INPUT', 'indices', `${index} is not in 0..${split.count - 1}`);
    if (seen.has(index)) throw new AttackError('INVALID_INPUT', 'indices', `${index} is given twice`);
    seen.add(index);
    if ((split.labels[index] ?? 0) >= target.classes)
      throw new AttackError(
        'INVALID_INPUT',
        'split',
        `label ${split.labels[index]} of sample ${index} is not in 0..${target.classes - 1}`,
      );
  }
}
