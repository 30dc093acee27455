import type { TrainingConfig } from '@jsigr/defenses';
import type { ComputeOptions, Files } from '@jsigr/service/compute';

export interface CheckArgument {
  readonly config: TrainingConfig;
  /** Attacks of the loop, where it selects. */
  readonly selectingAttacks?: readonly string[];
  /** The loop changes the weights of the penalties: the objective must have some. */
  readonly adapts: boolean;
}

/** What a report changes of the training in progress. */
export interface FeedbackArgument {
  readonly penaltyFactor?: number;
  /** What the factor was decided by. */
  readonly bestClean?: number;
  /** Adversarial examples of training images, as the files of an artefact, and how often they take the place of their images. */
  readonly examples?: { readonly files: Files; readonly share: number };
  /** No further epoch. */
  readonly stop?: true;
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
  /** The checkpoint to go on from. */
  readonly resume?: Files;
  /** What earlier reports had changed for good. */
  readonly feedback: FeedbackArgument;
  /** How often the state between two checkpoints is kept, in milliseconds. */
  readonly stateMs: number;
  /** One number in shared memory: checkpoints and states of this training that were dealt with. The thread goes no more than two ahead. */
  readonly stored: Int32Array;
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

/** What training could go on from, between two checkpoints. */
export interface StateMade {
  readonly type: 'state';
  readonly step: number;
  readonly files: Files;
}

export type TrainEvent = Progress | EpochDone | CheckpointMade | StateMade;

/** What the trainer's thread does. */
export type TrainerMethods = {
  /** Is the configuration one that can be trained, and does a loop that selects measure what it selects by? Throws what is wrong. */
  check: { argument: CheckArgument; result: undefined };
  /** Trains to the end, or until `stop`. */
  train: {
    argument: TrainArgument;
    result: { reason: 'completed' | 'stopped' | 'stopped-early' | 'paused'; step: number };
    event: TrainEvent;
  };
  /** The next epoch begins with it. @returns training images that have an example now */
  feedback: { argument: FeedbackArgument; result: { readonly examples: number } };
  /** The training in progress ends after its step, with a last checkpoint. */
  stop: { argument: undefined; result: undefined };
  /** The training in progress ends after its step, and its last event is the state that it goes on from. */
  pause: { argument: undefined; result: undefined };
};
