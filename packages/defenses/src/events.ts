import type { Checkpoint } from '@jsigr/models';

/** One optimiser step was made. Throttling is the receiver's business. */
export interface StepEvent {
  readonly type: 'step';
  /** Steps made, from 1. */
  readonly step: number;
  readonly totalSteps: number;
  /** The epoch that the step belongs to, from 1. */
  readonly epoch: number;
  /** Sum of the terms, on this batch, before the step. */
  readonly loss: number;
  /** Weighted terms of the loss by name, e.g. `crossEntropy`, `jacobian`, `inputGradient`. */
  readonly terms: Readonly<Record<string, number>>;
  /** Fraction of the batch (as it was trained on) that was classified correctly, 0..1. */
  readonly accuracy: number;
  readonly learningRate: number;
  /** Throughput of the last steps, attacks of `pgd-at` included, refreshing of masks not. */
  readonly imagesPerSecond: number;
  /** What the steps that are left take at this speed. */
  readonly secondsLeft: number;
}

/** An epoch is over (or training ended within it). */
export interface EpochEvent {
  readonly type: 'epoch';
  /** From 1. */
  readonly epoch: number;
  readonly step: number;
  /** Means over the steps of this epoch. */
  readonly trainLoss: number;
  readonly trainTerms: Readonly<Record<string, number>>;
  readonly trainAccuracy: number;
  /** Clean accuracy on the held-out part of the training images, 0..1; absent where nothing is held out. */
  readonly heldOutAccuracy?: number;
  /** What the objective's probe measured, e.g. `pgdAccuracy`: fractions 0..1; empty for most objectives. */
  readonly probe: Readonly<Record<string, number>>;
  /** What the penalties were multiplied with: 1, unless a loop's feedback said otherwise. */
  readonly penaltyFactor: number;
  /** Wall time of the epoch: saliency maps, steps and held-out accuracy. */
  readonly seconds: number;
  /** The part of it that making saliency maps took; 0 where none were made. */
  readonly maskSeconds: number;
}

export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly checkpoint: Checkpoint;
}

/** The state between two steps of an epoch, for `resume`: it is no result, and nothing was measured on it. */
export interface StateEvent {
  readonly type: 'state';
  readonly checkpoint: Checkpoint;
}

/**
 * The last event. `paused`: `shouldPause` said so, and the checkpoint is a state to go on from that was no event before. `stopped`: `shouldStop` said so; `stopped-early`: the held-out accuracy did not rise any more. With early stopping the
 * checkpoint of a training that came to its end is that of the best epoch.
 */
export interface FinishedEvent {
  readonly type: 'finished';
  readonly reason: 'completed' | 'stopped' | 'stopped-early' | 'paused';
  readonly step: number;
  /** The last checkpoint; unless training paused it was an event of its own before. */
  readonly checkpoint: Checkpoint;
}

export type TrainingEvent = StepEvent | EpochEvent | CheckpointEvent | StateEvent | FinishedEvent;
