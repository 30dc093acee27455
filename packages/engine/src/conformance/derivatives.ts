import * as tf from '@tensorflow/tfjs-core';
import { valueAndGrad } from '../autodiff.ts';
import { float32, type NdArray, specOf, type TensorSpec } from '../ndarray.ts';
import { axpy } from '../testing.ts';

export type Tensors = Readonly<Record<string, tf.Tensor>>;
export type Arrays = Readonly<Record<string, NdArray>>;
export type Call = (...inputs: tf.Tensor[]) => tf.Tensor;

/** Value, gradient and Hessian-vector product of the weighted sum of a function's results. */
export type Derivatives<T> = {
  readonly value: T;
  readonly gradient: Readonly<Record<string, T>>;
  /** The Hessian times `direction`; empty if it was not asked for. */
  readonly curvature: Readonly<Record<string, T>>;
};

export type Feeds<T> = {
  /** The variables. */
  readonly x: Readonly<Record<string, T>>;
  /** Inputs that have no derivative. */
  readonly fixed: Readonly<Record<string, T>>;
  readonly weights: T;
  readonly direction: Readonly<Record<string, T>>;
};

/** The traced function of all derivatives of `call`, whose inputs are named in order. */
export function derivativesOf(call: Call, names: readonly string[], order: 1 | 2) {
  return function derivatives({ x, fixed, weights, direction }: Feeds<tf.Tensor>): Derivatives<tf.Tensor> {
    const scalar = (variables: Tensors) =>
      tf.sum(tf.mul(call(...names.map((name) => (variables[name] ?? fixed[name]) as tf.Tensor)), weights));
    const first = valueAndGrad(scalar, x);
    if (order < 2) return { ...first, curvature: {} };
    const slope = (variables: Tensors) => innerProduct(valueAndGrad(scalar, variables).gradient, direction);
    return { ...first, curvature: valueAndGrad(slope, x).gradient };
  };
}

function innerProduct(a: Tensors, b: Tensors): tf.Tensor {
  return tf.addN(Object.entries(a).map(([name, tensor]) => tf.sum(tf.mul(tensor, b[name] ?? tensor))));
}

export function specsOf(arrays: Arrays): Readonly<Record<string, TensorSpec>> {
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, specOf(array)]));
}

export function specsOfFeeds({ x, fixed, weights, direction }: Feeds<NdArray>): Feeds<TensorSpec> {
  return { x: specsOf(x), fixed: specsOf(fixed), weights: specOf(weights), direction: specsOf(direction) };
}

/** The same feeds with the variables a step further in the direction. */
export function moved(feeds: Feeds<NdArray>, step: number): Feeds<NdArray> {
  const x = Object.entries(feeds.x).map(([name, array]) => [name, axpy(array, step, feeds.direction[name] ?? array)]);
  return { ...feeds, x: Object.fromEntries(x) };
}

/** All numbers of arrays, in the order of their names, as one. */
export function joined(arrays: Arrays): NdArray {
  const numbers = Object.values(arrays).flatMap(({ data }) => Array.from(data));
  return float32(numbers, [numbers.length]);
}
