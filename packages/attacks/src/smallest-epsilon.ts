import { piecesOf, poolOf, samplesOf } from './batches.ts';
import { judge } from './judge.ts';
import type { AttackJob } from './runner.ts';
import { type Proportion, proportion } from './statistics.ts';

export interface SmallestEpsilonJob extends Omit<AttackJob, 'epsilon' | 'startOf' | 'onProgress' | 'onExample'> {
  /** The largest radius that is tried. */
  readonly most: number;
  /** How often the interval is halved, 1..30; 10 by default. */
  readonly halvings?: number;
}

/** The smallest radius at which a sample was fooled. */
export interface SmallestEpsilon {
  readonly sample: number;
  /** Length of the adversarial perturbation; undefined where even the largest radius was not enough. */
  readonly epsilon: number | undefined;
  readonly forwards: number;
  readonly backwards: number;
}

interface Search {
  readonly sample: number;
  low: number;
  /** Infinity until it was fooled. */
  high: number;
  known: Float32Array;
  /** The attempt that found it. */
  attempt: number;
  forwards: number;
  backwards: number;
}

/**
 * Halves the radius for each sample on its own, all samples of a batch together; every attempt starts at the nearest adversarial image so far, brought into
 * the smaller ball. What is found is an upper bound of the distance to the boundary: an example proves it.
 * @throws AttackError as the attack.
 */
export async function smallestEpsilons(job: SmallestEpsilonJob): Promise<SmallestEpsilon[]> {
  const found: SmallestEpsilon[] = [];
  for (const piece of piecesOf(job.indices, job.batchSize)) {
    const searches = piece.map((sample): Search => {
      const known = samplesOf(job.split, job.target.input, [sample]).images.data as Float32Array;
      return { sample, low: 0, high: Number.POSITIVE_INFINITY, known, attempt: 0, forwards: 0, backwards: 0 };
    });
    const attempts = job.attack.attempts(job.settings, job.target.classes);
    // Attacks that look for the nearest image need no halving: with no radius to reach they search to their end.
    const nearest = job.attack.goal === 'distance';
    for (let attempt = 0; attempt < attempts; attempt++)
      await narrow(
        job,
        nearest ? searches : searches.filter(isOpen),
        () => attempt,
        () => (nearest ? 0 : job.most),
      );
    for (let i = 0; i < (nearest ? 0 : (job.halvings ?? 10)); i++)
      await narrow(
        job,
        searches.filter((search) => !isOpen(search)),
        ({ attempt }) => attempt,
        ({ low, high }) => (low + high) / 2,
      );
    for (const { sample, high, forwards, backwards } of searches)
      found.push({ sample, epsilon: Number.isFinite(high) ? high : undefined, forwards, backwards });
  }
  return found;
}

/** Was it not fooled yet? */
function isOpen({ high }: Search): boolean {
  return !Number.isFinite(high);
}

/** One attempt on each sample at a radius of its own. */
async function narrow(
  job: SmallestEpsilonJob,
  searches: readonly Search[],
  attemptOf: (search: Search) => number,
  radiusOf: (search: Search) => number,
): Promise<void> {
  if (searches.length === 0) return;
  const { attack, engine, source, target, norm, seed, split, batchSize, members, signal, loss } = job;
  const samples = samplesOf(
    split,
    target.input,
    searches.map(({ sample }) => sample),
  );
  const epsilons = searches.map(radiusOf);
  const attempts = searches.map(attemptOf);
  const { adversarial, forwards, backwards } = await attack.run(
    {
      engine,
      source,
      ...samples,
      norm,
      epsilons,
      seed,
      attempts,
      batchSize,
      pool: poolOf(split, target.input),
      starts: searches.map((search) => (isOpen(search) ? undefined : search.known)),
      ...(members && { members }),
      ...(loss && { loss }),
      ...(signal && { signal }),
    },
    job.settings,
  );
  const limits = attack.goal === 'distance' ? searches.map(() => job.most) : epsilons;
  const verdicts = await judge({ engine, target, norm, seed, batchSize }, samples, adversarial, limits);
  searches.forEach((search, row) => {
    const verdict = verdicts[row];
    if (!verdict) return;
    search.forwards += (forwards[row] ?? 0) + 1;
    search.backwards += backwards[row] ?? 0;
    const fooled = verdict.prediction !== split.labels[search.sample];
    if (fooled && verdict.distance < search.high) {
      search.high = Math.min(verdict.distance, limits[row] ?? verdict.distance); // float32 may round it up
      search.known = verdict.image.slice();
      search.attempt = attempts[row] ?? 0;
      // As long as no attempt found an example, another one may yet, in a smaller ball than this one.
    } else if (!fooled && !isOpen(search)) search.low = Math.max(search.low, epsilons[row] ?? 0);
  });
}

/** Robust accuracy over epsilon from the smallest radii of the correctly classified samples: it cannot rise. */
export function curveOf(
  found: readonly SmallestEpsilon[],
  samples: number,
  epsilons: readonly number[],
): { readonly epsilon: number; readonly robustAccuracy: Proportion }[] {
  return epsilons.map((epsilon) => ({
    epsilon,
    robustAccuracy: proportion(
      found.filter((each) => each.epsilon === undefined || each.epsilon > epsilon).length,
      samples,
    ),
  }));
}
