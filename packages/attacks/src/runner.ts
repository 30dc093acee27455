import type { Split } from '@jsigr/datasets';
import type { Engine } from '@jsigr/engine';
import { type Classifier, isQueried, mayAsk } from '@jsigr/models';
import type { Attack, Cost } from './attack.ts';
import { poolOf, samplesOf } from './batches.ts';
import { judge } from './judge.ts';
import type { AttackLoss } from './losses.ts';
import type { Norm, NormName } from './norms.ts';

/** One attempt of one attack on one sample: JSON-able. */
export interface LedgerRow {
  /** Index in the split. */
  readonly sample: number;
  readonly attack: string;
  readonly norm: NormName;
  readonly epsilon: number;
  readonly seed: number;
  /** Which restart, or which target of which restart. */
  readonly attempt: number;
  /** Passes through the source until the sample fell, and one more forward through the target that judges. */
  readonly forwards: number;
  readonly backwards: number;
  /** Cross-entropy of the label on the adversarial image, by the target. */
  readonly loss: number;
  /** In the norm, of the image that was judged. */
  readonly distance: number;
  readonly labelBefore: number;
  readonly labelAfter: number;
  readonly success: boolean;
}

export interface AttackJob {
  readonly engine: Engine;
  readonly target: Classifier;
  /** Who is looked at: the target, or its surrogates' ensemble. */
  readonly source: Classifier;
  /** Who makes up the source, where it is an ensemble. */
  readonly members?: readonly Classifier[];
  readonly attack: Attack;
  readonly settings?: unknown;
  readonly norm: Norm;
  readonly epsilon: number;
  readonly seed: number;
  readonly split: Split;
  /** The samples to attack: those that the target classifies correctly. */
  readonly indices: readonly number[];
  /** Rows that are computed together at most. */
  readonly batchSize: number;
  /** Where the first attempt on a sample starts: an earlier adversarial image, `[height * width * channels]` in [0,1]. */
  readonly startOf?: (sample: number) => Float32Array | undefined;
  readonly loss?: AttackLoss;
  readonly signal?: AbortSignal;
  /** Asked before every step, with the passes of the job so far, the judge's among them: is a budget spent? */
  readonly isSpent?: (passes: Cost) => boolean;
  /** Called when a budget, or the target's own of questions, left steps or attempts undone. */
  readonly onShort?: () => void;
  /** Attempts made and at most to be made. */
  readonly onProgress?: (done: number, atMost: number) => void;
  /** Every adversarial image (`[height, width, channels]`, a view that is not kept), successful or not. */
  readonly onExample?: (row: LedgerRow, image: Float32Array) => void;
}

/** Of each try: where it starts, and what the judge asks. */
export const LEAST_QUESTIONS = 2;

interface Try {
  readonly sample: number;
  readonly attempt: number;
}

/**
 * Attacks samples until they are misclassified or the attempts are spent. What no attack may get wrong is done here: attempts on what still resists
 * (the next ones too, where that fills the batch), the final projection, the target's own verdict, the ledger.
 * @throws AttackError as the attack; the signal's reason once it is aborted.
 */
export async function runAttack(job: AttackJob): Promise<LedgerRow[]> {
  const attempts = job.attack.attempts(job.settings, job.target.classes);
  const rows: LedgerRow[] = [];
  let left: readonly Try[] = Array.from({ length: attempts }, (_, attempt) =>
    job.indices.map((sample) => ({ sample, attempt })),
  ).flat();
  while (left.length > 0) {
    job.signal?.throwIfAborted();
    // Who is asked is not asked about an attempt that the one before it may make needless.
    const next = isQueried(job.target) ? left.filter(({ attempt }) => attempt === left[0]?.attempt) : left;
    const tries = next.slice(0, job.batchSize);
    if (!mayAsk(job.target, LEAST_QUESTIONS * tries.length) || job.isSpent?.(passesOf(rows))) {
      job.onShort?.();
      return rows;
    }
    const made = await attackTogether(job, tries, passesOf(rows));
    rows.push(...made);
    const fallen = new Set(made.filter((row) => row.success).map((row) => row.sample));
    left = left.slice(tries.length).filter(({ sample }) => !fallen.has(sample));
    job.onProgress?.(rows.length, rows.length + left.length);
  }
  return rows;
}

/** Of all rows together. */
export function passesOf(rows: readonly LedgerRow[]): Cost {
  return rows.reduce(
    (sum, row) => ({ forwards: sum.forwards + row.forwards, backwards: sum.backwards + row.backwards }),
    { forwards: 0, backwards: 0 },
  );
}

async function attackTogether(job: AttackJob, tries: readonly Try[], before: Cost): Promise<LedgerRow[]> {
  const { attack, engine, source, target, norm, epsilon, seed, split, batchSize, members, signal, loss } = job;
  const { isSpent } = job;
  const samples = samplesOf(
    split,
    target.input,
    tries.map(({ sample }) => sample),
  );
  const epsilons = tries.map(() => epsilon);
  const starts = tries.map(({ sample, attempt }) => (attempt === 0 ? job.startOf?.(sample) : undefined));
  const outcome = await attack.run(
    {
      engine,
      source,
      ...samples,
      norm,
      epsilons,
      seed,
      attempts: tries.map(({ attempt }) => attempt),
      batchSize,
      pool: poolOf(split, target.input),
      ...(members && { members }),
      starts,
      ...(loss && { loss }),
      ...(signal && { signal }),
      ...(isSpent && {
        isSpent: ({ forwards, backwards }) =>
          isSpent({ forwards: before.forwards + forwards, backwards: before.backwards + backwards }),
      }),
    },
    job.settings,
  );
  if (outcome.short) job.onShort?.();
  const verdicts = await judge({ engine, target, norm, seed, batchSize }, samples, outcome.adversarial, epsilons);
  return verdicts.map(({ image, prediction, ...found }, i) => {
    const { sample, attempt } = tries[i] ?? { sample: 0, attempt: 0 };
    const label = split.labels[sample] ?? 0;
    const row: LedgerRow = {
      sample,
      attack: attack.name,
      norm: norm.name,
      epsilon,
      seed,
      attempt,
      forwards: (outcome.forwards[i] ?? 0) + 1,
      backwards: outcome.backwards[i] ?? 0,
      ...found,
      labelBefore: label,
      labelAfter: prediction,
      success: prediction !== label,
    };
    job.onExample?.(row, image);
    return row;
  });
}
