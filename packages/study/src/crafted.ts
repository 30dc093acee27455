import { type NdArray, readSafetensors, writeSafetensors } from '@jsigr/engine';
import type { Profile } from './profile.ts';
import { keyOf } from './store.ts';
import type { Samples, StudyContext } from './study-context.ts';
import type { TrainedRun } from './training.ts';
import { type Crafted, craftExamples, TRANSFER_RECIPE } from './transfer.ts';

/** The examples of a source for some samples and balls: those that are in the store, else new ones, which are kept. Every model is shown the same. */
export async function craftedBy(
  context: StudyContext,
  source: TrainedRun,
  samples: Samples,
  balls: Profile['balls'] = context.profile.balls,
): Promise<Crafted[]> {
  const { store, profile, log } = context;
  const key = keyOf(source.weights, profile.dataset, context.digest, samples.indices, balls, TRANSFER_RECIPE);
  const radii = balls.flatMap(({ norm, epsilons }) => epsilons.map((epsilon) => ({ norm, epsilon })));
  const kept = await store.examples(key);
  if (kept) {
    const { tensors } = readSafetensors(kept);
    return radii.map((radius, i) => ({ ...radius, images: tensors[String(i)] as NdArray }));
  }
  log(`adversarial examples of ${source.record.spec.architecture}`);
  const crafted = await craftExamples(context, await source.model(), samples, balls);
  await store.keepExamples(
    key,
    writeSafetensors(Object.fromEntries(crafted.map(({ images }, i) => [String(i), images]))),
  );
  return crafted;
}
