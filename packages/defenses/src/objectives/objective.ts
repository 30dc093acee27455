import type { Engine, NdArray } from '@jsigr/engine';
import type { Classifier, ImageShape } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';
import type * as z from 'zod';
import { parseSettings } from '../errors.ts';
import type { SaliencyPlan } from '../saliency-cache.ts';

/** What an objective may know of a batch outside the compiled step. */
export interface BatchContext {
  /** u32: with the step the address of every random number. */
  readonly seed: number;
  /** Optimiser step, from 1. */
  readonly step: number;
  readonly batchSize: number;
  readonly input: ImageShape;
  readonly classes: number;
  /** Saliency `[batch, height, width, 1]` in [0,1] of the (augmented) images; absent while there is none yet. */
  readonly saliency: NdArray | undefined;
}

/** A batch inside the traced step. */
export interface TracedBatch {
  /**
   * Logits `[batch, classes]` of images, with the parameters that are being trained and the network in training mode: with batch
   * normalisation every pass uses the statistics of its images, derivatives run through them, and the running ones move, pass by pass.
   */
  readonly forward: (images: Tensor) => Tensor;
  /** `[batch, height, width, channels]` in [0,1]. */
  readonly images: Tensor;
  /** One-hot `[batch, classes]`. */
  readonly labels: Tensor;
  /** What cross-entropies are taken against, `[batch, classes]`: the labels, smoothed where label smoothing is on. */
  readonly targets: Tensor;
  /** Weight of each sample's cross-entropy, `[batch]`; absent where classes are not weighted. */
  readonly weights?: Tensor;
  /** Scalar 0..1 by which penalties are multiplied: they start softly. */
  readonly ramp: Tensor;
  /** What `inputs` and `prepare` returned. */
  readonly inputs: Readonly<Record<string, Tensor>>;
}

export interface TracedLoss {
  /** Logits `[batch, classes]` of the batch, from which the training accuracy is counted. */
  readonly logits: Tensor;
  /** Named scalars, already weighted; the loss is their sum. */
  readonly terms: Readonly<Record<string, Tensor>>;
}

/** What is needed to change a batch before the step. */
export interface PrepareContext {
  readonly engine: Engine;
  /** The network as it is before this step, in evaluation mode: adversarial examples are crafted on frozen statistics (as in TRADES). */
  readonly classifier: Classifier;
  readonly images: NdArray;
  /** int32 `[batch]`. */
  readonly labels: NdArray;
  readonly seed: number;
  readonly step: number;
  /** Epochs made before this step, with fractions. */
  readonly epochs: number;
  /** Fixed networks whose examples transfer; empty where none were given. */
  readonly surrogates: readonly Classifier[];
  /** `[batch]`: index of each sample in the training split. */
  readonly sampleIndices: readonly number[];
  readonly signal?: AbortSignal;
}

/** A batch after `prepare`. */
export interface PreparedBatch {
  /** Images to train on, in place of the batch's own. */
  readonly images: NdArray;
  /** More inputs of the compiled step; the same names and shapes at every step. */
  readonly inputs?: Readonly<Record<string, NdArray>>;
}

/** What is measured after every epoch, and when it ends the training. */
export interface Probe {
  /** Images that are looked at: held-out ones, or where there are none training images. */
  readonly samples: number;
  /** Epochs (fractions allowed) after which measurements can be compared: what came before is neither remembered nor held against them. */
  readonly comparableFrom: number;
  /** Named fractions 0..1 of the network as it is now. */
  readonly measure: (context: PrepareContext) => Promise<Readonly<Record<string, number>>>;
  /** Why training must end, from the measurements of all comparable epochs so far and the newest, which comes last; undefined: it goes on. */
  readonly alarm: (history: readonly Readonly<Record<string, number>>[]) => string | undefined;
}

/** An objective with its settings: what the training loop runs. */
export interface BoundObjective {
  /** Epochs (fractions allowed) between which the penalties grow linearly from 0 to their full weight. */
  readonly ramp?: { readonly startEpoch: number; readonly endEpoch: number };
  /** Where saliency maps of the training images are needed. */
  readonly saliency?: SaliencyPlan;
  /** It has other terms, so that a training which ends before the first maps is still one of it. */
  readonly saliencyIsOptional?: boolean;
  /** Inputs of the compiled step beyond images and labels; the same names and shapes at every step. */
  readonly inputs: (batch: BatchContext) => Readonly<Record<string, NdArray>>;
  /** Traced, differentiated by the parameters. */
  readonly loss: (batch: TracedBatch) => TracedLoss;
  /** Changes the batch before the step, e.g. by an attack. */
  readonly prepare?: (context: PrepareContext) => Promise<PreparedBatch>;
  /** Images that a batch needs at least; 1 by default. */
  readonly leastBatch?: number;
  /** It trains on examples of surrogates, which must be given. */
  readonly needsSurrogates?: boolean;
  readonly probe?: Probe;
}

/** A training objective as a row of the registry. */
export interface Objective {
  readonly name: string;
  /** One sentence for lists and help. */
  readonly summary: string;
  /** The paper, by authors, year and arXiv number or venue; `ours` where it is our own. */
  readonly source: string;
  /** Settings with defaults, ranges and descriptions: help texts, forms and the documentation are made from it. */
  readonly settings: z.ZodObject;
  /** @throws TrainingError INVALID_SETTING */
  readonly parse: (settings: unknown, field?: string) => Readonly<Record<string, unknown>>;
  readonly bind: (settings: unknown, field?: string) => BoundObjective;
}

interface Definition<Schema extends z.ZodObject> {
  readonly name: string;
  readonly summary: string;
  readonly source: string;
  readonly settings: Schema;
  readonly bind: (settings: z.output<Schema>) => BoundObjective;
}

/** An objective from its definition: settings are checked here, once, for all. */
export function defineObjective<Schema extends z.ZodObject>(definition: Definition<Schema>): Objective {
  const { name, summary, source, settings: schema } = definition;
  const parse = (settings: unknown, field = 'objective.settings') => parseSettings(schema, settings, field);
  return {
    name,
    summary,
    source,
    settings: schema,
    parse,
    bind: (settings, field) => definition.bind(parse(settings, field)),
  };
}
