import type { MaskingAssessment } from '@jsigr/attacks';
import type { Outcomes } from './outcomes.ts';

/** All that determines the weights of a model of a study. */
export interface RunSpec {
  /** Name of its file. */
  readonly id: string;
  readonly label: string;
  readonly architecture: string;
  readonly objective: string;
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  readonly noise: number;
  readonly epochs: number;
  /** Optimiser steps, where training may end within an epoch: the last of `epochs`. */
  readonly steps?: number;
  readonly seed: number;
}

export interface EpochRecord {
  readonly epoch: number;
  /** Of its steps those that were made, where training ended within it; absent: all. */
  readonly share?: number;
  readonly seconds: number;
  readonly maskSeconds: number;
  readonly trainLoss: number;
  readonly heldOutAccuracy: number;
}

export interface TrainingRecord {
  readonly epochs: readonly EpochRecord[];
  /** `completed`, or why training broke down; then the last good checkpoint was kept. */
  readonly ended: string;
  /** sha256 of the weights; empty where there is no checkpoint at all. */
  readonly weights: string;
  /** Engine, device, threads, cores and processor: times of two machines are not compared. */
  readonly machine: string;
}

/** Samples that stay correctly classified within a ball. */
export interface Robustness {
  readonly norm: string;
  readonly epsilon: number;
  readonly robust: Outcomes;
}

export interface WhiteBoxRecord {
  readonly clean: Outcomes;
  readonly cells: readonly Robustness[];
  readonly masking: 'not assessed' | MaskingAssessment;
  readonly seconds: number;
}

/** Under transferred examples. */
export interface TransferredRobustness extends Robustness {
  /** Name of a further attack that made the examples; absent where it was the study's own (`TRANSFER_RECIPE`). */
  readonly attack?: string;
}

export interface TransferRecord {
  /** Of the samples that the examples were made of. */
  readonly clean: Outcomes;
  /** By the source's architecture. */
  readonly sources: Readonly<Record<string, readonly TransferredRobustness[]>>;
}

export interface CorruptionRecord {
  readonly name: string;
  readonly severity: number;
  readonly correct: Outcomes;
}

/** Mean and standard deviation over the samples. */
export interface Moments {
  readonly count: number;
  readonly mean: number;
  readonly deviation: number;
}

/** Of one saliency method. `mass` and `rank` only where the data have masks. */
export interface ExplanationRecord {
  readonly method: string;
  readonly mass?: Moments;
  readonly rank?: Moments;
  readonly insertion: Moments;
  readonly deletion: Moments;
  readonly sparseness: Moments;
  readonly stability: Moments;
}

/** What can be measured of a trained model. */
export interface Measures {
  /** Of all test samples. */
  readonly clean: Outcomes;
  readonly whiteBox: WhiteBoxRecord;
  readonly transfer: TransferRecord;
  readonly corruption: readonly CorruptionRecord[];
  readonly explanation: readonly ExplanationRecord[];
}

/** One model as a file: what it is, how it was trained, what was measured. Each part knows what it depends on, and is made again when that changes. */
export interface RunRecord {
  readonly spec: RunSpec;
  readonly training?: Kept<TrainingRecord>;
  readonly measures: { readonly [Name in keyof Measures]?: Kept<Measures[Name]> };
}

export interface Kept<Value> {
  /** Digest of all that the value depends on. */
  readonly key: string;
  readonly value: Value;
}
