import { type Dataset, holdOut, type Split } from '@jsigr/datasets';
import type { Engine } from '@jsigr/engine';
import {
  type Checkpoint,
  type Classifier,
  classifierOfNetwork,
  IMPORTED_ARCHITECTURE,
  type Network,
  type OpenedNetwork,
  zooNetwork,
} from '@jsigr/models';
import { planTraining, type TrainingConfig, type TrainingPlan } from './config.ts';
import { TrainingError } from './errors.ts';
import type { LoopFeedback } from './feedback.ts';
import { problemsOf } from './requirements.ts';
import { mapsBy, type SaliencyEstimator } from './saliency-cache.ts';
import { classWeights, type TracedTechniques, traceTechniques } from './techniques.ts';

/** A trained network that stays as it is. */
export interface FixedNetwork extends OpenedNetwork {
  /** Name in messages and checkpoints, e.g. `models/3f2a…`: a run that goes on must be given the same. */
  readonly id: string;
}

export interface TrainingOptions {
  /** Identifier of the run, written into checkpoints; `run` by default. */
  readonly run?: string;
  /** Digest of the imported dataset, written into checkpoints; empty by default. */
  readonly datasetDigest?: string;
  /**
   * Goes on from a checkpoint of the same configuration (`epochs`, `steps` and `checkpointEveryEpochs` may differ), data and fixed networks:
   * the same weights, bit for bit, as without the interruption.
   */
  readonly resume?: Checkpoint;
  /** Weights to begin with, for fine-tuning; of the architecture that is trained. An imported network is trained only so (architecture `onnx`). */
  readonly initial?: FixedNetwork;
  /** Whose saliency is used by objectives with `saliencySource: teacher`; of the architecture that is trained. */
  readonly teacher?: FixedNetwork;
  /** Whose adversarial examples `ensemble-at` trains on; of any architecture. */
  readonly surrogates?: readonly FixedNetwork[];
  /** About how long the engine may work before it looks at the signal and at `shouldStop` (default 0.1 s); 0: after every step. */
  readonly turnSeconds?: number;
  /**
   * Batches are made ahead, by a thread of their own, once those to come would take longer than this to make; Infinity: never. By default 2 s
   * where the engine leaves a core free or computes on another device, else never. The numbers do not depend on it.
   */
  readonly batchThreadSeconds?: number;
  /** Aborts between steps: the generator throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Asked between turns: training ends well, with a last checkpoint. */
  readonly shouldStop?: () => boolean;
  /** Asked between steps: training ends as soon as it can, with the state that it goes on from; nothing is measured any more. */
  readonly shouldPause?: () => boolean;
  /** Asked between steps: the state that training could go on from becomes an event. */
  readonly shouldKeep?: () => boolean;
  /** Asked before every epoch: what the reports of an attacker have changed since. */
  readonly feedback?: () => LoopFeedback;
  /** What makes the saliency maps, in place of the objective's `saliencyMethod`. */
  readonly saliency?: SaliencyEstimator;
  /** A clock in milliseconds. */
  readonly now?: () => number;
}

/** What stays the same over a run. */
export interface TrainingRun {
  readonly engine: Engine;
  readonly plan: TrainingPlan;
  readonly options: TrainingOptions;
  readonly dataset: Dataset;
  /** The step runs it in training mode; attacks, masks and accuracies see it in evaluation mode. */
  readonly network: Network;
  readonly techniques: TracedTechniques;
  readonly estimate: SaliencyEstimator;
  readonly teacher: Classifier | undefined;
  readonly surrogates: readonly Classifier[];
  /** Indices of the images that are trained on, in the dataset's training split. */
  readonly train: Uint32Array;
  /** The images that are held out; may be none. */
  readonly heldOut: Split;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/** @throws ModelError, TrainingError: whatever is wrong is said before any training */
export function prepareRun(
  engine: Engine,
  config: TrainingConfig,
  dataset: Dataset,
  options: TrainingOptions,
): TrainingRun {
  const plan = planTraining(config);
  const { architecture, activation, norm, denoise, batchSize, epochs, steps, seed, heldOutFraction, techniques } =
    plan.config;
  const images = { input: dataset.input, classes: dataset.classes.length };
  const { initial, teacher, surrogates = [] } = options;
  const zoo =
    architecture === IMPORTED_ARCHITECTURE
      ? undefined
      : zooNetwork({ architecture, activation, norm, denoise, ...images });
  const described = ({ id, network, heldOut }: FixedNetwork) => ({ id, ...network.model, heldOut });
  const { train, held } = holdOut(dataset.train, heldOutFraction, seed);
  if (train.length < batchSize)
    throw new TrainingError(
      'INVALID_SETTING',
      'batchSize',
      `batchSize is ${batchSize}, but ${dataset.name} has ${train.length} training images beside the held-out ones`,
    );
  const stepsPerEpoch = Math.floor(train.length / batchSize);
  const [problem] = problemsOf({
    plan,
    ...(steps === undefined ? {} : { stepsInEpochs: steps / stepsPerEpoch }),
    ...(options.datasetDigest ? { dataset: options.datasetDigest } : {}),
    model: zoo?.model ?? { architecture, ...images },
    initial: initial && described(initial),
    teacher: teacher && described(teacher),
    surrogates: surrogates.map(described),
  });
  if (problem) throw new TrainingError('INVALID_SETTING', problem.field, `${problem.field}: ${problem.message}`);
  const network = zoo ?? initial?.network;
  if (!network) throw new TrainingError('INVALID_SETTING', 'initial', 'initial: is missing');
  const classifier = (fixed: FixedNetwork) => classifierOfNetwork(fixed.network, fixed.parameters, fixed.id);
  const weights = classWeights(techniques.classWeights, images.classes, dataset.train, train);
  return {
    engine,
    plan,
    options,
    dataset,
    network,
    techniques: traceTechniques(techniques, weights),
    estimate: options.saliency ?? mapsBy(plan.objective.saliency ?? { method: 'perturbation' }),
    teacher: teacher && classifier(teacher),
    surrogates: surrogates.map(classifier),
    train,
    heldOut: subset(dataset.train, held),
    stepsPerEpoch,
    totalSteps: steps ?? epochs * stepsPerEpoch,
  };
}

function subset({ count, images, labels }: Split, indices: Uint32Array): Split {
  const size = images.length / count;
  const chosen = new Uint8Array(indices.length * size);
  indices.forEach((index, row) => {
    chosen.set(images.subarray(index * size, (index + 1) * size), row * size);
  });
  return { count: indices.length, images: chosen, labels: Uint8Array.from(indices, (index) => labels[index] ?? 0) };
}
