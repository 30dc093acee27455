import { type Engine, float32, int32, writeSafetensors } from '@jsigr/engine';
import { type Certified, certifySamples } from './certified.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import { type Searched, searchable, searchNearest } from './nearest-boundary.ts';
import type { PlannedAttack } from './plan.ts';
import type { Resolved } from './work.ts';

/** What an evaluation found beyond robust accuracy at the radii of its plan, sample by sample. */
export interface Beyond {
  /** For each attack that was searched. */
  readonly smallest: readonly Searched[];
  readonly certified?: Certified;
}

/** Into how many parts its progress falls. */
export function partsBeyond(options: EvaluationOptions, plan: readonly PlannedAttack[]): number {
  if (options.shard) return 0;
  return (options.smallestEpsilons ? searchable(plan).length : 0) + (options.certification ? 1 : 0);
}

/**
 * Looks for smallest radii and certificates where they were asked for, and not for a shard.
 * @param correct correctly classified samples
 * @param place which of `parts` parts of the evaluation the first one is
 */
export async function lookBeyond(
  engine: Engine,
  options: Resolved,
  plan: readonly PlannedAttack[],
  correct: readonly number[],
  { from, parts }: { readonly from: number; readonly parts: number },
): Promise<Beyond> {
  const { smallestEpsilons = 0, certification, shard, onProgress } = options;
  if (shard) return { smallest: [] };
  const searched = correct.slice(0, smallestEpsilons);
  const place = (cell: number, attempts: number, attemptsAtMost: number) => {
    return { cell: from + cell, cells: parts, attempts, attemptsAtMost };
  };
  const smallest =
    searched.length === 0
      ? []
      : await searchNearest(engine, options, plan, searched, (cell, { attack, norm, epsilons }, done) =>
          onProgress?.({
            ...{ attack: attack.name, norm: norm.name, epsilon: Math.max(...epsilons) },
            ...place(cell, done, searched.length),
          }),
        );
  if (!certification) return { smallest };
  const atMost = Math.min(certification.samples, options.indices.length);
  const certified = await certifySamples(engine, options, certification, (done) =>
    onProgress?.({
      ...{ attack: 'smoothing', norm: 'l2', epsilon: certification.sigma },
      ...place(parts - from - 1, done, atMost),
    }),
  );
  return { smallest, certified };
}

/**
 * Files beside a ledger. `smallest-epsilons.safetensors`: `sample` int32 `[samples]` and `epsilon` float32 `[attacks, samples]`, the attacks in the order of
 * the report, not a number where the largest radius did not do. `certificates.safetensors`: `sample`, `prediction` (-1: it abstains), `radius`, `probability`.
 */
export function encodeBeyond({ smallest, certified }: Beyond): Record<string, Uint8Array> {
  const samples = smallest[0]?.samples.map(({ sample }) => sample) ?? [];
  const epsilons = smallest.flatMap((each) => each.samples.map(({ epsilon = Number.NaN }) => epsilon));
  const rows = certified?.samples ?? [];
  return {
    ...(smallest.length > 0 && {
      'smallest-epsilons.safetensors': writeSafetensors({
        sample: int32(samples, [samples.length]),
        epsilon: float32(epsilons, [smallest.length, samples.length]),
      }),
    }),
    ...(certified && {
      'certificates.safetensors': writeSafetensors({
        sample: int32(
          rows.map(({ sample }) => sample),
          [rows.length],
        ),
        prediction: int32(
          rows.map(({ prediction = -1 }) => prediction),
          [rows.length],
        ),
        radius: float32(
          rows.map(({ radius }) => radius),
          [rows.length],
        ),
        probability: float32(
          rows.map(({ probability }) => probability),
          [rows.length],
        ),
      }),
    }),
  };
}
