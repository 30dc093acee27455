import { attackNamed, normNamed, runAttack } from '@jsigr/attacks';
import { float32, type NdArray, sizeOf } from '@jsigr/engine';
import { argmax, type Classifier, predict } from '@jsigr/models';
import { gatherImages } from './images.ts';
import { allOf, type Outcomes, outcomesOf } from './outcomes.ts';
import type { Profile } from './profile.ts';
import type { TransferredRobustness } from './record.ts';
import { batchSizeOf, type Samples, type StudyContext, type TrainedModel, withSignal } from './study-context.ts';

/** MI-FGSM on diverse inputs (Dong et al. 2018, Xie et al. 2019). */
export const TRANSFER_RECIPE = 'mi+di';
/** What published figures of transferred examples are mostly of (Goodfellow et al. 2015): beside the recipe, and no part of its figures. */
export const PLAIN_ATTACK = 'fgsm';
const SEED = 1;

/** Examples that one model gave for one ball's radius, in the order of the samples. */
export interface Crafted {
  readonly norm: string;
  readonly epsilon: number;
  /** Absent: the recipe's. */
  readonly attack?: string;
  readonly images: NdArray;
}

/** Adversarial examples of all samples, by the gradients of one model, for each ball of the profile. */
export async function craftExamples(
  context: StudyContext,
  { classifier }: TrainedModel,
  samples: Samples,
  balls: Profile['balls'] = context.profile.balls,
): Promise<Crafted[]> {
  const crafted: Crafted[] = [];
  for (const { norm, epsilons } of balls)
    for (const epsilon of epsilons) {
      const attack = { name: 'transfer', settings: { recipe: TRANSFER_RECIPE } };
      crafted.push({ norm, epsilon, images: await attacked(context, classifier, samples, { attack, norm, epsilon }) });
    }
  return crafted;
}

/** The same by the plain attack, in the main ball. */
export async function craftPlain(
  context: StudyContext,
  { classifier }: TrainedModel,
  samples: Samples,
): Promise<Crafted[]> {
  const [{ norm, epsilons }] = context.profile.balls;
  const crafted: Crafted[] = [];
  for (const epsilon of epsilons) {
    const attack = { name: PLAIN_ATTACK, settings: {} };
    const images = await attacked(context, classifier, samples, { attack, norm, epsilon });
    crafted.push({ norm, epsilon, attack: PLAIN_ATTACK, images });
  }
  return crafted;
}

/** The image that one attempt of an attack on a model makes of each sample, whether it fools the model or not. */
export async function attacked(
  context: StudyContext,
  classifier: Classifier,
  { split, indices }: Samples,
  {
    attack,
    norm,
    epsilon,
  }: {
    readonly attack: { readonly name: string; readonly settings: object };
    readonly norm: string;
    readonly epsilon: number;
  },
): Promise<NdArray> {
  const size = sizeOf(classifier.input);
  const images = new Float32Array(indices.length * size);
  const places = new Map(indices.map((index, place) => [index, place]));
  await runAttack({
    engine: context.engine,
    target: classifier,
    source: classifier,
    members: [classifier],
    attack: attackNamed(attack.name),
    settings: attack.settings,
    norm: normNamed(norm),
    epsilon,
    seed: SEED,
    split,
    indices,
    batchSize: batchSizeOf(context),
    onExample: ({ sample }, image) => images.set(image, (places.get(sample) ?? 0) * size),
    ...withSignal(context),
  });
  return float32(images, [indices.length, ...classifier.input]);
}

/** Who of the samples a model classifies correctly. */
export async function correctOn(
  context: StudyContext,
  classifier: Classifier,
  images: NdArray,
  { split, indices }: Samples,
): Promise<boolean[]> {
  const { logits } = await predict(context.engine, classifier, images, {
    batchSize: batchSizeOf(context),
    ...withSignal(context),
  });
  const { classes } = classifier;
  return indices.map(
    (index, i) => argmax(logits.data.subarray(i * classes, (i + 1) * classes) as Float32Array) === split.labels[index],
  );
}

/** Who is correctly classified without attack. */
export async function cleanOutcomes(
  context: StudyContext,
  { classifier }: Pick<TrainedModel, 'classifier'>,
  samples: Samples,
): Promise<Outcomes> {
  return outcomesOf(await correctOn(context, classifier, gatherImages(samples, classifier.input), samples));
}

/** Who withstands the examples of one source: in a ball only what withstood those of the same attack in smaller balls of its norm too. */
export async function transferredTo(
  context: StudyContext,
  target: Pick<TrainedModel, 'classifier'>,
  samples: Samples,
  crafted: readonly Crafted[],
): Promise<TransferredRobustness[]> {
  const clean = await cleanOutcomes(context, target, samples);
  const cells: TransferredRobustness[] = [];
  for (const { norm, epsilon, attack, images } of crafted) {
    const withstood = outcomesOf(await correctOn(context, target.classifier, images, samples));
    const smaller = cells
      .filter((cell) => cell.norm === norm && cell.attack === attack && cell.epsilon < epsilon)
      .map(({ robust }) => robust);
    cells.push({
      norm,
      epsilon,
      ...(attack === undefined ? {} : { attack }),
      robust: allOf([clean, withstood, ...smaller]),
    });
  }
  return cells;
}
