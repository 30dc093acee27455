import { createHash } from 'node:crypto';
import type { Engine } from '@jsigr/engine';
import type { EvaluationOptions } from './evaluation-options.ts';
import type { PlannedAttack } from './plan.ts';

/**
 * All that makes two evaluations the same, so that one can go on with the other's ledger. Shards of one evaluation have the same. Of the engine it is what
 * computes, and not on how many threads or in which version: what an attempt found is a fact, and nodes of a cluster differ. The same bits need the same machine.
 */
export function fingerprintOf(
  { info }: Engine,
  options: EvaluationOptions,
  batchSize: number,
  plan: readonly PlannedAttack[],
): string {
  const { target, surrogates, indices, cascade = false, seed, loss, budget } = options;
  const attacks = plan.map(({ attack, norm, epsilons, settings, source }) => [
    attack.name,
    norm.name,
    epsilons,
    settings,
    source,
  ]);
  const models = [target.id, ...surrogates.map(({ id }) => id)];
  const engine = [info.engine, info.device];
  const data = digestOf(options);
  return JSON.stringify({ models, attacks, loss: loss?.name, budget, cascade, seed, batchSize, engine, indices, data });
}

/** Of the bytes and labels of the samples, in their order, and of where they start. */
function digestOf({ split, indices, input, startOf }: EvaluationOptions): string {
  const size = input[0] * input[1] * input[2];
  const hash = createHash('sha256');
  for (const sample of indices) {
    hash.update(split.images.subarray(sample * size, (sample + 1) * size));
    hash.update(`${split.labels[sample]} `);
    if (startOf) hash.update(startOf(sample) ?? 'its own');
  }
  return hash.digest('hex').slice(0, 32);
}
