import { isDeepStrictEqual } from 'node:util';
import { type Dataset, holdOut, type Split } from '@jsigr/datasets';
import type { Engine, NdArray } from '@jsigr/engine';
import {
  type Checkpoint,
  type Classifier,
  type Forward,
  forwardOf,
  initialParameters,
  type ResolvedModelSpec,
  resolveModelSpec,
  statisticNames,
} from '@jsigr/models';
import { planTraining, type TrainingConfig, type TrainingPlan } from './config.ts';
import { TrainingError } from './errors.ts';
import { checkFinite } from './guards.ts';
import type { SaliencyEstimator } from './saliency-cache.ts';
import { initialState } from './training-step.ts';

export interface TrainingOptions {
  /** Identifier of the run, written into checkpoints; `run` by default. */
  readonly run?: string;
  /** Digest of the imported dataset, written into checkpoints; empty by default. */
  readonly datasetDigest?: string;
  /**
   * Goes on from a checkpoint of the same configuration (`epochs`, `steps` and `checkpointEveryEpochs` may differ) and data: the same
   * weights as without the interruption. Only saliency maps are not part of a checkpoint: they are made anew from its network.
   */
  readonly resume?: Checkpoint;
  /** Aborts between steps: the generator throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Asked between steps: training ends well, with a last checkpoint. */
  readonly shouldStop?: () => boolean;
  /** What makes the saliency maps of masks; {@link perturbationMaps} by default. */
  readonly saliency?: SaliencyEstimator;
  /** A clock in milliseconds. */
  readonly now?: () => number;
}

/** All that changes from step to step; a checkpoint holds it. */
export interface TrainingState {
  readonly parameters: Readonly<Record<string, NdArray>>;
  /** `slot/parameter` to state. */
  readonly optimizer: Readonly<Record<string, NdArray>>;
  /** Steps made. */
  readonly step: number;
}

/** What stays the same over a run. */
export interface TrainingRun {
  readonly engine: Engine;
  readonly plan: TrainingPlan;
  readonly options: TrainingOptions;
  readonly dataset: Dataset;
  readonly model: ResolvedModelSpec;
  /** In evaluation mode: what attacks, masks and accuracies see. The step itself runs the network in training mode. */
  readonly forward: Forward;
  /** Indices of the images that are trained on, in the dataset's training split. */
  readonly train: Uint32Array;
  /** The images that are held out; may be none. */
  readonly heldOut: Split;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/** @throws ModelError, TrainingError */
export function prepareRun(
  engine: Engine,
  config: TrainingConfig,
  dataset: Dataset,
  options: TrainingOptions,
): TrainingRun {
  const plan = planTraining(config);
  const { architecture, activation, norm, denoise, batchSize, epochs, steps, seed, heldOutFraction } = plan.config;
  const { input, classes } = dataset;
  const model = resolveModelSpec({ architecture, activation, norm, denoise, input, classes: classes.length });
  const { train, held } = holdOut(dataset.train, heldOutFraction, seed);
  if (train.length < batchSize)
    throw new TrainingError(
      'INVALID_SETTING',
      'batchSize',
      `batchSize is ${batchSize}, but ${dataset.name} has ${train.length} training images beside the held-out ones`,
    );
  const stepsPerEpoch = Math.floor(train.length / batchSize);
  const totalSteps = steps ?? epochs * stepsPerEpoch;
  return {
    engine,
    plan,
    options,
    dataset,
    model,
    forward: forwardOf(model),
    train,
    heldOut: subset(dataset.train, held),
    stepsPerEpoch,
    totalSteps,
  };
}

/**
 * Where training begins: fresh parameters, or those of `resume`.
 * @throws TrainingError INVALID_SETTING if that checkpoint is of another configuration or dataset
 */
export function startState({ plan, model, dataset, options }: TrainingRun): TrainingState {
  const { resume } = options;
  if (!resume) {
    const parameters = initialParameters(model, plan.config.seed);
    return { parameters, optimizer: initialState(plan.optimizer, parameters, statisticNames(model)), step: 0 };
  }
  const { epochs: _, steps: __, checkpointEveryEpochs: ___, ...mustAgree } = plan.config;
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ...Object.entries(mustAgree).map(([name, value]) => [name, resume.configuration[name], value] as const),
    ['dataset', resume.dataset, identityOf(dataset, options)],
    ['model', resume.model, model],
  ];
  for (const [name, before, now] of pairs)
    if (!isDeepStrictEqual(before, JSON.parse(JSON.stringify(now))))
      throw new TrainingError(
        'INVALID_SETTING',
        `resume.${name}`,
        `the checkpoint was made with ${name} ${JSON.stringify(before)}, not ${JSON.stringify(now)}`,
      );
  return { parameters: resume.parameters, optimizer: resume.optimizer, step: resume.step };
}

/** The network as it is now. */
export function classifierOf({ model, forward }: TrainingRun, { parameters }: TrainingState): Classifier {
  return { id: model.architecture, input: model.input, classes: model.classes, parameters, forward };
}

/** @throws TrainingError NOT_FINITE if a weight is not a number. */
export function makeCheckpoint(
  { engine, plan: { config }, options, dataset, model, stepsPerEpoch }: TrainingRun,
  { parameters, optimizer, step }: TrainingState,
  metrics: Readonly<Record<string, number>>,
): Checkpoint {
  checkFinite(parameters, step);
  return {
    run: options.run ?? 'run',
    step,
    epoch: Math.floor(step / stepsPerEpoch),
    model,
    dataset: identityOf(dataset, options),
    objective: config.objective,
    configuration: JSON.parse(JSON.stringify(config)) as Checkpoint['configuration'],
    seed: config.seed,
    engine: bitsOf(engine.info),
    metrics,
    parameters,
    optimizer,
  };
}

function identityOf({ name }: Dataset, { datasetDigest = '' }: TrainingOptions): Checkpoint['dataset'] {
  return { name, digest: datasetDigest };
}

function subset({ count, images, labels }: Split, indices: Uint32Array): Split {
  const size = images.length / count;
  const chosen = new Uint8Array(indices.length * size);
  indices.forEach((index, row) => {
    chosen.set(images.subarray(index * size, (index + 1) * size), row * size);
  });
  return { count: indices.length, images: chosen, labels: Uint8Array.from(indices, (index) => labels[index] ?? 0) };
}

/** What the weights depend on; why the engine was chosen is not part of it, so that equal weights have equal digests. */
function bitsOf({ reason: _, ...info }: Engine['info']) {
  return info;
}
