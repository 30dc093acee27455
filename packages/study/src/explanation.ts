import { int32, type NdArray, sizeOf } from '@jsigr/engine';
import { insertionDeletion, methodNamed, relevanceMass, relevanceRank, sparseness, topOverlap } from '@jsigr/saliency';
import { gatherImages, slice } from './images.ts';
import type { ExplanationRecord, Moments } from './record.ts';
import { type StudyContext, type TrainedModel, testSamples, withSignal } from './study-context.ts';
import { attacked } from './transfer.ts';

const BATCH = 32;
/** Pixels that a stable explanation still names. */
export const STABLE_SHARE = 0.1;
/** All steps for every model: one that is fooled sooner is moved as far. */
export const MOVED_BY = { name: 'pgd', settings: { steps: 10, keep: 'last' } } as const;

/** How well the maps of a model's labels find what makes the class, and how they stand up to an attack. */
export async function explain(context: StudyContext, { classifier }: TrainedModel): Promise<ExplanationRecord[]> {
  const { profile, engine } = context;
  const samples = testSamples(context, profile.samples.explained);
  const { split, indices } = samples;
  const images = gatherImages(samples, classifier.input);
  const [{ norm, epsilons }] = profile.balls;
  // The smallest radius: there most predictions still hold, and with them there is something to explain.
  const moved = await attacked(context, classifier, samples, { attack: MOVED_BY, norm, epsilon: epsilons[0] ?? 0 });
  const pixels = sizeOf(classifier.input.slice(0, 2));
  const records: ExplanationRecord[] = [];
  for (const name of profile.methods) {
    const found: Record<'mass' | 'rank' | 'insertion' | 'deletion' | 'sparseness' | 'stability', number[]> = {
      mass: [],
      rank: [],
      insertion: [],
      deletion: [],
      sparseness: [],
      stability: [],
    };
    for (let from = 0; from < indices.length; from += BATCH) {
      const piece = indices.slice(from, from + BATCH);
      const about = (of: NdArray) => ({
        engine,
        classifier,
        images: slice(of, from, from + piece.length),
        targets: int32(
          piece.map((index) => split.labels[index] ?? 0),
          [piece.length],
        ),
        sampleIndices: piece,
        ...withSignal(context),
      });
      const { map } = await methodNamed(name).explain(about(images));
      const { map: after } = await methodNamed(name).explain(about(moved));
      if (split.masks) {
        const masks = Uint8Array.from({ length: piece.length * pixels }, (_, i) => {
          const index = piece[Math.floor(i / pixels)] ?? 0;
          return split.masks?.[index * pixels + (i % pixels)] ?? 0;
        });
        found.mass.push(...relevanceMass(map, masks));
        found.rank.push(...relevanceRank(map, masks));
      }
      const { insertion, deletion } = await insertionDeletion(about(images), map);
      found.insertion.push(...insertion);
      found.deletion.push(...deletion);
      found.sparseness.push(...sparseness(map));
      found.stability.push(...topOverlap(map, after, STABLE_SHARE));
    }
    const { mass, rank, ...rest } = found;
    records.push({
      method: name,
      ...(split.masks ? { mass: momentsOf(mass), rank: momentsOf(rank) } : {}),
      insertion: momentsOf(rest.insertion),
      deletion: momentsOf(rest.deletion),
      sparseness: momentsOf(rest.sparseness),
      stability: momentsOf(rest.stability),
    });
  }
  return records;
}

export function momentsOf(values: readonly number[]): Moments {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { count, mean, deviation: count < 2 ? 0 : Math.sqrt(squares / (count - 1)) };
}
