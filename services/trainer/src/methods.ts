import type { TrainingConfig } from '@jsigr/defenses';
import type { ComputeOptions, Files } from '@jsigr/service/compute';

export interface CheckArgument {
  readonly config: TrainingConfig;
  /** Attacks of the loop, where it selects. */
  readonly selectingAttacks?: readonly string[];
}

/** The checkpoint of a network that is not trained itself. */
export interface NetworkFiles {
  /** models/{digest} */
  readonly name: string;
  readonly files: Files;
}

export interface FixedNetworks {
  readonly initial?: NetworkFiles;
  readonly teacher?: NetworkFiles;
  readonly surrogates: readonly NetworkFiles[];
}

export interface TrainArgument {
  /** trainingRuns/{id}, written into checkpoints. */
  readonly run: string;
  readonly config: TrainingConfig;
  readonly datasetDigest: string;
  readonly dataset: Files;
  readonly networks: FixedNetworks;
  readonly compute: ComputeOptions;
}

/** Means since the last such event. */
export interface Progress {
  readonly type: 'progress';
  readonly step: number;
  readonly totalSteps: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
}

export interface EpochDone {
  readonly type: 'epoch';
  readonly epoch: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly seconds: number;
}

export interface CheckpointMade {
  readonly type: 'checkpoint';
  readonly step: number;
  readonly epoch: number;
  readonly heldOutAccuracy: number;
  readonly files: Files;
}

export type TrainEvent = Progress | EpochDone | CheckpointMade;

/** What the trainer's thread does. */
export type TrainerMethods = {
  /** Is the configuration one that can be trained, and does a loop that selects measure what it selects by? Throws what is wrong. */
  check: { argument: CheckArgument; result: undefined };
  /** Trains to the end, or until `stop`. */
  train: {
    argument: TrainArgument;
    result: { reason: 'completed' | 'stopped' | 'stopped-early'; step: number };
    event: TrainEvent;
  };
  /** The training in progress ends after its step, with a last checkpoint. */
  stop: { argument: undefined; result: undefined };
};
