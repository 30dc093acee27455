import type { NdArray, Tree } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import { ModelError } from './errors.ts';

/** [height, width, channels] of one image. */
export type ImageShape = readonly [number, number, number];

/**
 * What attacks and explanations need to know of a model, whoever trained it: a pure function from parameters and images to logits.
 * An ensemble is a classifier too (its parameters are a tree of its members' parameters).
 */
export interface Classifier {
  /** Name in reports and ledgers, e.g. `lenet@3f2a…`. */
  readonly id: string;
  readonly input: ImageShape;
  readonly classes: number;
  readonly parameters: Tree<NdArray>;
  /**
   * Logits `[batch, classes]` of images `[batch, height, width, channels]` in [0,1], in inference mode.
   * The same function object for the same architecture and shape, because compiled functions are cached by identity.
   */
  readonly forward: (parameters: Tree<Tensor>, images: Tensor) => Tensor;
}

/**
 * A classifier that is asked instead of traced: a live endpoint, or a file that another runtime runs. It has no gradients, and whoever calls
 * `forward` gets an error that says why.
 */
export interface QueriedClassifier extends Classifier {
  /** Why it can only be asked, as the end of a sentence. */
  readonly blackBox: string;
  /** Logits `[batch, classes]` of images `[batch, height, width, channels]` in [0,1]. @throws when it does not answer, or not as it said */
  readonly query: (images: NdArray, signal?: AbortSignal) => Promise<NdArray>;
  /** What is left of a budget; absent where there is no limit. */
  readonly budget?: QueryBudget;
  /** Gives back what it holds: a connection, a session. */
  readonly close?: () => void;
}

export interface QueryBudget {
  /** May so many images still be asked about? A no is remembered. */
  readonly allows: (images: number) => boolean;
  /** Was something left undone because the budget did not allow it? */
  readonly wasShort: () => boolean;
}

export function isQueried(classifier: Classifier): classifier is QueriedClassifier {
  return 'query' in classifier;
}

/** May so many images still be asked about? Always, of a classifier that is no black box. */
export function mayAsk(classifier: Classifier, images: number): boolean {
  return !isQueried(classifier) || (classifier.budget?.allows(images) ?? true);
}

/** The same, with a budget: so many images and no more. A request that is made again, because it failed, counts once. */
export function budgeted(classifier: QueriedClassifier, images: number): QueriedClassifier {
  let left = images;
  let wasShort = false;
  const allows = (count: number) => {
    wasShort ||= count > left;
    return count <= left;
  };
  return {
    ...classifier,
    budget: { allows, wasShort: () => wasShort },
    query: async (asked, signal) => {
      const count = asked.shape[0] ?? 0;
      if (!allows(count))
        throw new ModelError('BUDGET_SPENT', 'query', `${count} images to be asked about, ${left} left of the budget`);
      left -= count;
      return classifier.query(asked, signal);
    },
  };
}
