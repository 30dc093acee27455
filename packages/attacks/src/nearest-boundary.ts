import type { Engine } from '@jsigr/engine';
import type { Access } from './attack.ts';
import { piecesOf } from './batches.ts';
import { sum } from './cells.ts';
import type { NormName } from './norms.ts';
import type { PlannedAttack, Source } from './plan.ts';
import { type EpsilonQuantile, quantilesOf } from './quantiles.ts';
import { type SmallestEpsilon, smallestEpsilons } from './smallest-epsilon.ts';
import { sourceOf } from './source.ts';
import { type Proportion, proportion } from './statistics.ts';
import type { Resolved } from './work.ts';

/** The smallest radii at which one attack turned samples: JSON-able. Each is proved by an example, so it bounds the true distance from above. */
export interface SmallestEpsilons {
  readonly attack: string;
  readonly access: Access;
  readonly source: Source;
  readonly norm: NormName;
  readonly settings: Readonly<Record<string, unknown>>;
  /** The largest radius that was tried: that of the plan. */
  readonly largest: number;
  /** Turned within the largest radius, of the samples that were searched; all of these are correctly classified without attack. */
  readonly turned: Proportion;
  /** A quarter, half and three quarters of the samples are turned within so much. */
  readonly quantiles: readonly EpsilonQuantile[];
  readonly forwards: number;
  readonly backwards: number;
  readonly seconds: number;
}

export interface Searched {
  readonly summary: SmallestEpsilons;
  readonly samples: readonly SmallestEpsilon[];
}

/** Attacks of a plan whose smallest radius means something: a control is no attack, and the clean image no radius. */
export function searchable(plan: readonly PlannedAttack[]): PlannedAttack[] {
  return plan.filter(({ attack, epsilons }) => attack.access !== 'control' && largestOf(epsilons) > 0);
}

/**
 * The smallest radius at which each attack of a plan turns each sample, up to the attack's largest one.
 * @param indices correctly classified samples
 * @param onProgress with the place of the attack among those that are searched, and samples done
 */
export async function searchNearest(
  engine: Engine,
  options: Resolved,
  plan: readonly PlannedAttack[],
  indices: readonly number[],
  onProgress: (place: number, planned: PlannedAttack, samples: number) => void,
): Promise<Searched[]> {
  const found: Searched[] = [];
  for (const [place, planned] of searchable(plan).entries()) {
    const { attack, norm, settings, source, epsilons } = planned;
    const { target, seed, split, batchSize, loss, signal } = options;
    const most = largestOf(epsilons);
    const began = performance.now();
    const samples: SmallestEpsilon[] = [];
    for (const piece of piecesOf(indices, batchSize)) {
      const job = {
        ...sourceOf(source, options),
        engine,
        target,
        attack,
        settings,
        norm,
        seed,
        split,
        batchSize,
        most,
      };
      const own = { ...job, indices: piece, ...(loss && { loss }), ...(signal && { signal }) };
      samples.push(...(await smallestEpsilons(own)));
      onProgress(place, planned, samples.length);
    }
    const radii = samples.map(({ epsilon = Number.POSITIVE_INFINITY }) => epsilon);
    const summary: SmallestEpsilons = {
      ...{ attack: attack.name, access: attack.access, source, norm: norm.name, settings, largest: most },
      turned: proportion(radii.filter(Number.isFinite).length, samples.length),
      quantiles: quantilesOf(radii),
      forwards: sum(samples.map(({ forwards }) => forwards)),
      backwards: sum(samples.map(({ backwards }) => backwards)),
      seconds: (performance.now() - began) / 1000,
    };
    found.push({ summary, samples });
  }
  return found;
}

function largestOf(epsilons: readonly number[]): number {
  return Math.max(...epsilons);
}
