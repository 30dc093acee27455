import { type NdArray, readSafetensors, writeSafetensors } from '@jsigr/engine';
import type { Profile } from './profile.ts';
import { keyOf } from './store.ts';
import type { Samples, StudyContext } from './study-context.ts';
import type { TrainedRun } from './training.ts';
import { type Crafted, craftExamples, craftPlain, PLAIN_ATTACK, TRANSFER_RECIPE } from './transfer.ts';

/** What every model of the study is shown of a source: the recipe's examples in all balls, and the plain attack's in the main one. */
export async function shownBy(context: StudyContext, source: TrainedRun, samples: Samples): Promise<Crafted[]> {
  const [main] = context.profile.balls;
  const plain = await kept(context, source, samples, { attack: PLAIN_ATTACK, balls: [main], make: craftPlain });
  return [...(await craftedBy(context, source, samples)), ...plain];
}

/** The recipe's examples of a source for some samples and balls. */
export async function craftedBy(
  context: StudyContext,
  source: TrainedRun,
  samples: Samples,
  balls: Profile['balls'] = context.profile.balls,
): Promise<Crafted[]> {
  return kept(context, source, samples, {
    attack: TRANSFER_RECIPE,
    balls,
    make: (...given) => craftExamples(...given, balls),
  });
}

interface Crafting {
  readonly attack: string;
  readonly balls: Profile['balls'];
  readonly make: (...given: Parameters<typeof craftPlain>) => Promise<Crafted[]>;
}

/** The examples that are in the store, else new ones, which are kept. */
async function kept(
  context: StudyContext,
  source: TrainedRun,
  samples: Samples,
  { attack, balls, make }: Crafting,
): Promise<Crafted[]> {
  const { store, digest, log } = context;
  const key = keyOf(source.weights, digest, samples.indices, attack, balls);
  const bytes = await store.examples(key);
  if (bytes) {
    const { tensors, metadata } = readSafetensors(bytes);
    const described = JSON.parse(metadata.examples ?? '[]') as Omit<Crafted, 'images'>[];
    return described.map((each, i) => ({ ...each, images: tensors[String(i)] as NdArray }));
  }
  log(`adversarial examples of ${source.record.spec.architecture}: ${attack}`);
  const crafted = await make(context, await source.model(), samples);
  const described = crafted.map(({ images: _, ...each }) => each);
  const tensors = Object.fromEntries(crafted.map(({ images }, i) => [String(i), images]));
  await store.keepExamples(key, writeSafetensors(tensors, { examples: JSON.stringify(described) }));
  return crafted;
}
