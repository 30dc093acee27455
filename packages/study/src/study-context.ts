import { cpus } from 'node:os';
import type { Dataset, Split } from '@jsigr/datasets';
import type { Engine } from '@jsigr/engine';
import { type Checkpoint, type Classifier, createClassifier } from '@jsigr/models';
import type { Profile } from './profile.ts';
import type { RunSpec } from './record.ts';
import type { StudyStore } from './store.ts';

/** What the parts of a study share. */
export interface StudyContext {
  readonly profile: Profile;
  readonly engine: Engine;
  /** With as many training images as the profile says. */
  readonly dataset: Dataset;
  readonly digest: string;
  /** What computes: `machineOf`. */
  readonly machine: string;
  readonly store: StudyStore;
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Only what was made before is read: what is missing is a `NotMade`. */
  readonly isReadOnly?: boolean;
}

/** A part of a study that has not been made yet. */
export class NotMade extends Error {
  override readonly name = 'NotMade';
}

/** @throws NotMade where nothing is to be made */
export function checkMaking({ isReadOnly }: Pick<StudyContext, 'isReadOnly'>, what: string): void {
  if (isReadOnly) throw new NotMade(`${what} is not made yet`);
}

/** A trained model of the study. */
export interface TrainedModel {
  readonly spec: RunSpec;
  readonly classifier: Classifier;
}

/** Samples of a part of the dataset. */
export interface Samples {
  readonly split: Split;
  readonly indices: readonly number[];
}

/** The first so many test samples. */
export function testSamples({ dataset }: StudyContext, count: number): Samples {
  const { test } = dataset;
  return { split: test, indices: Array.from({ length: Math.min(count, test.count) }, (_, i) => i) };
}

/** A dataset with its first so many training images; 0: all. */
export function firstImages(dataset: Dataset, images: number): Dataset {
  const { train, input } = dataset;
  if (images === 0 || images >= train.count) return dataset;
  const size = input[0] * input[1] * input[2];
  return {
    ...dataset,
    train: {
      count: images,
      images: train.images.subarray(0, images * size),
      labels: train.labels.subarray(0, images),
      ...(train.masks ? { masks: train.masks.subarray(0, images * input[0] * input[1]) } : {}),
    },
  };
}

/** Of an engine, and of how many models are made at once besides. */
export function machineOf({ info: { engine: name, device, threads } }: Engine, jobs: number): string {
  const processors = cpus();
  return [
    `${name} on ${device}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    `${processors.length} cores, ${processors[0]?.model.trim() ?? 'unknown processor'}`,
    ...(jobs > 1 ? [`${jobs} models at once`] : []),
  ].join('; ');
}

export function classifierOf({ model, parameters }: Checkpoint, id: string): Classifier {
  return createClassifier(model, parameters, id);
}

export function withSignal({ signal }: StudyContext): { readonly signal?: AbortSignal } {
  return signal ? { signal } : {};
}

/** Samples that are attacked at once: a GPU waits for its processor unless each run is large. */
export function batchSizeOf({ engine }: StudyContext): number {
  return engine.info.device === 'cpu' ? 64 : 512;
}
