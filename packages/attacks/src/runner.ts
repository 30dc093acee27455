import { setImmediate } from 'node:timers/promises';
import type { Split } from '@jsigr/datasets';
import type { Engine } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import type { Attack } from './attack.ts';
import { type Batch, batchesOf } from './batches.ts';
import { judge, type Verdict } from './judge.ts';
import type { Norm, NormName } from './norms.ts';

/** One restart of one attack on one sample: JSON-able. */
export interface LedgerRow {
  /** Index in the split. */
  readonly sample: number;
  readonly attack: string;
  readonly norm: NormName;
  readonly epsilon: number;
  readonly seed: number;
  readonly restart: number;
  /** Passes through the source, and one more forward through the target that judges. */
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
  /** Whose gradients are used: the target, or its surrogates' ensemble. */
  readonly source: Classifier;
  readonly attack: Attack;
  readonly settings?: unknown;
  readonly norm: Norm;
  readonly epsilon: number;
  readonly seed: number;
  readonly split: Split;
  /** The samples to attack: those that the target classifies correctly. */
  readonly indices: readonly number[];
  readonly batchSize: number;
  readonly signal?: AbortSignal;
  /** Attempts made and at most to be made. */
  readonly onProgress?: (done: number, atMost: number) => void;
  /** Every adversarial image (`[height, width, channels]`, a view that is not kept), successful or not. */
  readonly onExample?: (row: LedgerRow, image: Float32Array) => void;
}

/**
 * Attacks samples until they are misclassified or the restarts are spent. What no attack may get wrong is done here: fixed batches, restarts on
 * what still resists, the final projection, the target's own verdict, the ledger.
 * @throws AttackError as the attack; the signal's reason once it is aborted.
 */
export async function runAttack(job: AttackJob): Promise<LedgerRow[]> {
  const { engine, attack, settings, source, target, norm, epsilon, seed, split, batchSize, signal } = job;
  const restarts = attack.restarts(settings);
  const rows: LedgerRow[] = [];
  let resisting = job.indices;
  for (let restart = 0; restart < restarts && resisting.length > 0; restart++) {
    const attempts: LedgerRow[] = [];
    for (const batch of batchesOf(split, target.input, resisting, batchSize)) {
      await setImmediate(); // the engine may hold the event loop: let an abort arrive
      signal?.throwIfAborted();
      const context = { engine, source, ...batch, norm, epsilon, seed, restart, ...(signal && { signal }) };
      const candidate = await attack.run(context, settings);
      attempts.push(...record(job, restart, batch, await judge(engine, target, batch, candidate, norm, epsilon)));
      job.onProgress?.(rows.length + attempts.length, rows.length + resisting.length * (restarts - restart));
    }
    rows.push(...attempts);
    resisting = attempts.filter((row) => !row.success).map((row) => row.sample);
  }
  return rows;
}

function record(job: AttackJob, restart: number, batch: Batch, verdict: Verdict): LedgerRow[] {
  const cost = job.attack.cost(job.settings);
  const pixels = verdict.judged.data.length / batch.sampleIndices.length;
  return batch.sampleIndices.slice(0, batch.count).map((sample, index) => {
    const label = job.split.labels[sample] ?? 0;
    const labelAfter = verdict.predictions[index] ?? label;
    const row: LedgerRow = {
      sample,
      attack: job.attack.name,
      norm: job.norm.name,
      epsilon: job.epsilon,
      seed: job.seed,
      restart,
      forwards: cost.forwards + 1,
      backwards: cost.backwards,
      loss: verdict.losses[index] ?? 0,
      distance: verdict.distances[index] ?? 0,
      labelBefore: label,
      labelAfter,
      success: labelAfter !== label,
    };
    job.onExample?.(row, verdict.judged.data.subarray(index * pixels, (index + 1) * pixels) as Float32Array);
    return row;
  });
}
