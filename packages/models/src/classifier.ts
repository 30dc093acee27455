import type { NdArray, Tree } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';

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
