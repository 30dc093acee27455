import { attackNamed, encodeExamples, normNamed, runAttack, toBytes } from '@jsigr/attacks';
import { type Dataset, holdOut } from '@jsigr/datasets';
import { type Engine, sizeOf } from '@jsigr/engine';
import { type Checkpoint, type Classifier, ensemble } from '@jsigr/models';
import type { Files } from '@jsigr/service/compute';
import type { CraftArgument } from './methods.ts';

const BATCH = 64;

/** Positions of a turn: `count` of them after those of the turns before, and round again. */
export function turnOf(total: number, { turn, count }: Pick<CraftArgument, 'turn' | 'count'>): number[] {
  const size = Math.min(count, total);
  return Array.from({ length: size }, (_, i) => (turn * size + i) % total);
}

/**
 * Adversarial examples of training images that the run does not hold out, made on the surrogates, whether they fool the checkpoint or not.
 * @throws AttackError as the attack
 */
export async function craftTraining(
  engine: Engine,
  {
    checkpoint,
    target,
    surrogates,
    dataset,
  }: {
    readonly checkpoint: Checkpoint;
    readonly target: Classifier;
    readonly surrogates: readonly Classifier[];
    readonly dataset: Dataset;
  },
  argument: CraftArgument,
  signal: AbortSignal,
): Promise<Files> {
  const { attack: entry, seed } = argument;
  const norm = normNamed(entry.norm);
  const epsilon = Math.max(...entry.epsilons);
  const fraction = Number(checkpoint.configuration.heldOutFraction ?? 0);
  const { train } = holdOut(dataset.train, fraction, checkpoint.seed);
  const indices = turnOf(train.length, argument).map((position) => train[position] ?? 0);
  const size = sizeOf(dataset.input);
  const images = new Uint8Array(indices.length * size);
  const places = new Map(indices.map((index, place) => [index, place]));
  await runAttack({
    engine,
    target,
    source: ensemble(surrogates, 'surrogates'),
    members: surrogates,
    attack: attackNamed(entry.attack),
    settings: entry.settings,
    norm,
    epsilon,
    seed,
    split: dataset.train,
    indices,
    batchSize: BATCH,
    onExample: ({ sample }, image) => {
      const original = dataset.train.images.subarray(sample * size, (sample + 1) * size);
      images.set(toBytes(original, image, norm, epsilon), (places.get(sample) ?? 0) * size);
    },
    signal,
  });
  return encodeExamples({ indices, images, input: dataset.input });
}
