import { type Dataset, holdOut, type Split } from '@jsigr/datasets';
import type { Engine, NdArray } from '@jsigr/engine';
import {
  type Checkpoint,
  type Classifier,
  type Forward,
  forwardOf,
  type ResolvedModelSpec,
  resolveModelSpec,
} from '@jsigr/models';
import { planTraining, type TrainingConfig, type TrainingPlan } from './config.ts';
import { TrainingError } from './errors.ts';
import { checkFinite } from './guards.ts';
import type { SaliencyEstimator } from './saliency-cache.ts';

export interface TrainingOptions {
  /** Identifier of the run, written into checkpoints; `run` by default. */
  readonly run?: string;
  /** Digest of the imported dataset, written into checkpoints; empty by default. */
  readonly datasetDigest?: string;
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
  readonly forward: Forward;
  readonly train: Split;
  /** May be empty. */
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
  const { architecture, activation, batchSize, epochs, steps, seed, heldOutFraction } = plan.config;
  const { input, classes } = dataset;
  const model = resolveModelSpec({ architecture, activation, input, classes: classes.length });
  const { train, heldOut } = holdOut(dataset.train, heldOutFraction, seed);
  if (train.count < batchSize)
    throw new TrainingError(
      'INVALID_SETTING',
      'batchSize',
      `batchSize is ${batchSize}, but ${dataset.name} has ${train.count} training images beside the held-out ones`,
    );
  const stepsPerEpoch = Math.floor(train.count / batchSize);
  const totalSteps = steps ?? epochs * stepsPerEpoch;
  const forward = forwardOf(model);
  return { engine, plan, options, dataset, model, forward, train, heldOut, stepsPerEpoch, totalSteps };
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
    dataset: { name: dataset.name, digest: options.datasetDigest ?? '' },
    objective: config.objective,
    configuration: JSON.parse(JSON.stringify(config)) as Checkpoint['configuration'],
    seed: config.seed,
    engine: { ...engine.info },
    metrics,
    parameters,
    optimizer,
  };
}
