import type { Split } from '@jsigr/datasets';
import type { Engine } from '@jsigr/engine';
import { type Classifier, ensemble, type ImageShape } from '@jsigr/models';
import type { Access } from './attack.ts';
import { AttackError } from './errors.ts';
import { classify } from './judge.ts';
import type { NormName } from './norms.ts';
import { checkPlan, type PlanEntry, type PlannedAttack, type Source } from './plan.ts';
import { type LedgerRow, runAttack } from './runner.ts';
import { type Proportion, proportion } from './statistics.ts';

export interface EvaluationOptions {
  readonly target: Classifier;
  /** Transfer attacks are made on their mean logits. */
  readonly surrogates: readonly Classifier[];
  readonly split: Split;
  /** Which samples of the split, each once. */
  readonly indices: readonly number[];
  /** [height, width, channels] of the split's images. */
  readonly input: ImageShape;
  readonly plan: readonly PlanEntry[];
  /** u32, for every random number. */
  readonly seed: number;
  /** 1..4096; results are bit-identical for equal batch sizes, and equal up to rounding otherwise. */
  readonly batchSize?: number;
  readonly onProgress?: (progress: EvaluationProgress) => void;
  readonly onExample?: (row: LedgerRow, image: Float32Array) => void;
  readonly signal?: AbortSignal;
}

/** Where an evaluation stands: `cell` of `cells` (one attack at one epsilon) and attempts in it. */
export interface EvaluationProgress {
  readonly attack: string;
  readonly norm: NormName;
  readonly epsilon: number;
  readonly cell: number;
  readonly cells: number;
  readonly attempts: number;
  readonly attemptsAtMost: number;
}

/** One attack at one epsilon. */
export interface AttackResult {
  readonly attack: string;
  readonly access: Access;
  readonly source: Source;
  readonly norm: NormName;
  readonly epsilon: number;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly restarts: number;
  /** Samples that stay correctly classified under the worst of the attack's restarts, of all samples. */
  readonly robustAccuracy: Proportion;
  /** Misclassified ones of those that are correctly classified without attack. */
  readonly successRate: Proportion;
  readonly seconds: number;
  readonly forwards: number;
  readonly backwards: number;
}

/** All attacks of a kind together at one epsilon: a sample counts as robust if it withstands every one of them. */
export interface WorstCase {
  readonly norm: NormName;
  readonly epsilon: number;
  /** Under every attack with the target's gradients; absent where the plan has none. */
  readonly whiteBox?: Proportion;
  /** Under every attack with the surrogates' gradients; absent where the plan has none. */
  readonly transferred?: Proportion;
}

/** JSON-able. Only `seconds` differ from one run to the next. */
export interface EvaluationReport {
  readonly target: string;
  readonly surrogates: readonly string[];
  readonly samples: number;
  readonly seed: number;
  readonly batchSize: number;
  readonly engine: Engine['info'];
  /** Accuracy without attack. */
  readonly clean: Proportion;
  readonly attacks: readonly AttackResult[];
  readonly worstCase: readonly WorstCase[];
  readonly seconds: number;
  readonly forwards: number;
  readonly backwards: number;
  /** A high robust accuracy may be due to masked gradients; nothing here has looked for them. */
  readonly masking: 'not assessed';
}

/**
 * Attacks a classifier by a plan. Every attack meets every sample that the target classifies correctly, whatever other attacks achieved.
 * An attack's epsilons are taken in ascending order, and a larger one is tried only where the smaller ones failed: an example in a smaller ball
 * lies in the larger one too, so robust accuracy never rises with epsilon, by construction. Epsilon 0 is the clean image and is not attacked.
 * @returns the report, and beside it the ledger: a row for each attempt.
 * @throws AttackError if the plan or the samples are not valid; the signal's reason once it is aborted.
 */
export async function evaluate(
  engine: Engine,
  options: EvaluationOptions,
): Promise<{ readonly report: EvaluationReport; readonly ledger: readonly LedgerRow[] }> {
  const { target, split, indices } = options;
  const batchSize = options.batchSize ?? 64;
  const plan = checked(options, batchSize);
  const began = performance.now();
  const predictions = await classify(engine, target, split, indices, { ...options, batchSize });
  const correct = indices.filter((sample, i) => predictions[i] === split.labels[sample]);
  const cells = await attackAll(engine, { ...options, batchSize }, plan, correct);
  const seconds = (performance.now() - began) / 1000;
  return {
    report: reportOf(options, batchSize, engine.info, correct.length, cells, seconds),
    ledger: cells.flatMap(({ rows }) => rows),
  };
}

/** One attack at one epsilon: the unit of the plan. */
interface Cell {
  readonly planned: PlannedAttack;
  readonly epsilon: number;
  readonly rows: readonly LedgerRow[];
  /** Samples misclassified at this epsilon or a smaller one. */
  readonly fooled: ReadonlySet<number>;
  readonly seconds: number;
}

type Resolved = EvaluationOptions & { readonly batchSize: number };

async function attackAll(
  engine: Engine,
  options: Resolved,
  plan: readonly PlannedAttack[],
  correct: readonly number[],
): Promise<Cell[]> {
  const total = plan.reduce((sum, { epsilons }) => sum + epsilons.length, 0);
  const surrogate = surrogateOf(options.surrogates);
  const cells: Cell[] = [];
  for (const planned of plan) {
    let fooled: ReadonlySet<number> = new Set();
    for (const epsilon of planned.epsilons) {
      const began = performance.now();
      const { attack, norm, settings } = planned;
      const source = planned.source === 'surrogates' && surrogate ? surrogate : options.target;
      const place = { attack: attack.name, norm: norm.name, epsilon, cell: cells.length, cells: total };
      const rows =
        epsilon === 0
          ? []
          : await runAttack({
              ...options,
              engine,
              source,
              attack,
              settings,
              norm,
              epsilon,
              indices: correct.filter((sample) => !fooled.has(sample)),
              onProgress: (attempts, attemptsAtMost) => options.onProgress?.({ ...place, attempts, attemptsAtMost }),
            });
      fooled = new Set([...fooled, ...rows.filter((row) => row.success).map((row) => row.sample)]);
      cells.push({ planned, epsilon, rows, fooled, seconds: (performance.now() - began) / 1000 });
    }
  }
  return cells;
}

function surrogateOf(surrogates: readonly Classifier[]): Classifier | undefined {
  return surrogates.length < 2 ? surrogates[0] : ensemble(surrogates, surrogates.map(({ id }) => id).join('+'));
}

function reportOf(
  { target, surrogates, indices, seed }: EvaluationOptions,
  batchSize: number,
  info: Engine['info'],
  correct: number,
  cells: readonly Cell[],
  seconds: number,
): EvaluationReport {
  const samples = indices.length;
  const attacks = cells.map((cell) => resultOf(cell, correct, samples));
  return {
    target: target.id,
    surrogates: surrogates.map(({ id }) => id),
    samples,
    seed,
    batchSize,
    engine: info,
    clean: proportion(correct, samples),
    attacks,
    worstCase: worstCases(cells, correct, samples),
    seconds,
    forwards: samples + sum(attacks.map(({ forwards }) => forwards)),
    backwards: sum(attacks.map(({ backwards }) => backwards)),
    masking: 'not assessed',
  };
}

function resultOf({ planned, epsilon, rows, fooled, seconds }: Cell, correct: number, samples: number): AttackResult {
  const { attack, source, norm, settings } = planned;
  return {
    attack: attack.name,
    access: attack.access,
    source,
    norm: norm.name,
    epsilon,
    settings,
    restarts: attack.restarts(settings),
    robustAccuracy: proportion(correct - fooled.size, samples),
    successRate: proportion(fooled.size, correct),
    seconds,
    forwards: sum(rows.map((row) => row.forwards)),
    backwards: sum(rows.map((row) => row.backwards)),
  };
}

function worstCases(cells: readonly Cell[], correct: number, samples: number): WorstCase[] {
  const places = new Map(cells.map(({ planned: { norm }, epsilon }) => [`${norm.name} ${epsilon}`, { norm, epsilon }]));
  return [...places.values()]
    .sort((a, b) => a.norm.name.localeCompare(b.norm.name) || a.epsilon - b.epsilon)
    .map(({ norm, epsilon }) => {
      const robustUnder = (source: Source): Proportion | undefined => {
        const weaker = cells.filter(
          ({ planned, epsilon: at }) =>
            planned.source === source && planned.attack.access !== 'control' && planned.norm === norm && at <= epsilon,
        );
        const fooled = new Set(weaker.flatMap((cell) => [...cell.fooled]));
        return weaker.some((cell) => cell.epsilon === epsilon) ? proportion(correct - fooled.size, samples) : undefined;
      };
      const whiteBox = robustUnder('target');
      const transferred = robustUnder('surrogates');
      return { norm: norm.name, epsilon, ...(whiteBox && { whiteBox }), ...(transferred && { transferred }) };
    });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function checked(options: EvaluationOptions, batchSize: number): PlannedAttack[] {
  const { target, surrogates, split, indices, input, plan } = options;
  const size = input[0] * input[1] * input[2];
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
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > 4096)
    throw new AttackError('INVALID_INPUT', 'batchSize', `${batchSize} is not an integer in 1..4096`);
  return checkPlan(plan, size, surrogates.length);
}
