import type * as tf from '@tensorflow/tfjs-core';
import type { DType, NdArray } from './ndarray.ts';

export interface ImportedInput {
  readonly name: string;
  readonly dtype: DType;
  /** Numbers, and names of dimensions that the file leaves open (the batch; '' if it has no name). */
  readonly shape: readonly (number | string)[];
  /** It takes whole numbers from 0 to 255, to which those that it is given are rounded. */
  readonly isBytes?: boolean;
}

/** Tensors by name. */
export type Tensors = Readonly<Record<string, tf.Tensor>>;

/** Somebody else's model as a differentiable function. */
export interface ImportedModel {
  readonly inputs: readonly ImportedInput[];
  readonly outputs: readonly string[];
  /** The weights, by their names in the file and in its layouts. */
  readonly parameters: Readonly<Record<string, NdArray>>;
  /**
   * The model on tensors, inside a function that the engine compiles. Inputs and outputs are by name, in the file's order of axes.
   * @throws EngineError naming the part of the model that does not fit the shapes of the inputs
   */
  readonly forward: (parameters: Tensors, inputs: Tensors) => Tensors;
}
