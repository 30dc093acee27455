import * as tf from '@tensorflow/tfjs-core';
import { grad } from '../autodiff.ts';
import { float32, type NdArray, specOf } from '../ndarray.ts';
import { withSoftplus } from '../smoothing.ts';
import type { NamedEngine } from './engines.ts';
import { attempt, compare, type Finding } from './findings.ts';

// Values, slopes and curvatures at points where differences mean nothing, by hand. At a kink the curvature is zero, as everywhere in the
// field; a maximum that several attain shares its slope among them.

export interface ClosedForm {
  readonly f: (x: tf.Tensor) => tf.Tensor;
  readonly x: readonly number[];
  readonly value: readonly number[];
  /** Of the sum of the values. */
  readonly first: readonly number[];
  /** Of the sum of the slopes. */
  readonly second: readonly number[];
}

const E = Math.E;
export const closedForms: Readonly<Record<string, ClosedForm>> = {
  relu: { f: tf.relu, x: [-1, 0, 2], value: [0, 0, 2], first: [0, 0, 1], second: [0, 0, 0] },
  'relu squared': {
    f: (x) => tf.square(tf.relu(x)),
    x: [-1, 0, 2],
    value: [0, 0, 4],
    first: [0, 0, 4],
    second: [0, 0, 2],
  },
  leakyRelu: {
    f: (x) => tf.leakyRelu(x, 0.25),
    x: [-4, 0, 2],
    value: [-1, 0, 2],
    first: [0.25, 0.25, 1],
    second: [0, 0, 0],
  },
  elu: { f: tf.elu, x: [-1, 0, 2], value: [1 / E - 1, 0, 2], first: [1 / E, 1, 1], second: [1 / E, 1, 0] },
  // their slopes at 0 are those of TensorFlow.js
  prelu: {
    f: (x) => tf.prelu(x, tf.scalar(0.25)),
    x: [-4, 0, 2],
    value: [-1, 0, 2],
    first: [0.25, 0.25, 1],
    second: [0, 0, 0],
  },
  relu6: { f: tf.relu6, x: [-1, 0, 3, 6, 7], value: [0, 0, 3, 6, 6], first: [0, 0, 1, 1, 0], second: [0, 0, 0, 0, 0] },
  abs: { f: tf.abs, x: [-3, 0, 3], value: [3, 0, 3], first: [-1, 0, 1], second: [0, 0, 0] },
  'clip, at its ends too': {
    f: (x) => tf.clipByValue(x, -1, 1),
    x: [-2, -1, 0, 1, 2],
    value: [-1, -1, 0, 1, 1],
    first: [0, 1, 1, 1, 0],
    second: [0, 0, 0, 0, 0],
  },
  'maximum of equals': {
    f: (x) => tf.maximum(x, 1),
    x: [0, 1, 2],
    value: [1, 1, 2],
    first: [0, 0.5, 1],
    second: [0, 0, 0],
  },
  'max with a tie': { f: (x) => tf.max(x), x: [3, 1, 3], value: [3], first: [0.5, 0, 0.5], second: [0, 0, 0] },
  'top-k with a tie': {
    f: (x) => tf.square(tf.topk(x, 2).values),
    x: [3, 1, 3, 3],
    value: [9, 9],
    first: [6, 0, 6, 0],
    second: [2, 0, 2, 0],
  },
  'prod with a zero': { f: (x) => tf.prod(x), x: [2, 0, 3], value: [0], first: [0, 6, 0], second: [3, 5, 2] },
  'prod with two zeros': { f: (x) => tf.prod(x), x: [0, 5, 0], value: [0], first: [0, 0, 0], second: [5, 0, 5] },
  asinh: { f: tf.asinh, x: [0, -0.75], value: [0, -Math.LN2], first: [1, 0.8], second: [0, 0.384] },
  atan: { f: tf.atan, x: [0, 1], value: [0, Math.PI / 4], first: [1, 0.5], second: [0, -0.5] },
  asin: {
    f: (x) => tf.asin(x),
    x: [0, 0.6],
    value: [0, Math.asin(0.6)],
    first: [1, 1.25],
    second: [0, 1.171875],
  },
  sigmoid: { f: tf.sigmoid, x: [0, 100, -100], value: [0.5, 1, 0], first: [0.25, 0, 0], second: [0, 0, 0] },
  softplus: { f: tf.softplus, x: [0, 100, -100], value: [Math.LN2, 100, 0], first: [0.5, 1, 0], second: [0.25, 0, 0] },
  'logSumExp of large numbers': {
    f: (x) => tf.logSumExp(x),
    x: [1000, 1000],
    value: [1000 + Math.LN2],
    first: [0.5, 0.5],
    second: [0, 0],
  },
  'ReLU as softplus of beta 4': {
    f: (x) => withSoftplus(4, () => tf.relu(x)),
    x: [0],
    value: [Math.LN2 / 4],
    first: [0.5],
    second: [1],
  },
  'ELU beside ReLU as softplus': {
    f: (x) => withSoftplus(4, () => tf.elu(x)),
    x: [0, 2],
    value: [0, 2],
    first: [1, 1],
    second: [1, 0],
  },
  cumsum: { f: (x) => tf.square(tf.cumsum(x)), x: [1, 2], value: [1, 9], first: [8, 6], second: [6, 4] },
};

/** Whether value and derivatives of a function on every engine are those that were worked out by hand. */
export async function checkClosedForm(
  name: string,
  { f, ...expected }: ClosedForm,
  engines: readonly NamedEngine[],
): Promise<readonly Finding[]> {
  const x = float32(expected.x, [expected.x.length]);
  const slopes = grad((q: tf.Tensor) => tf.sum(f(q)));
  const all = (q: tf.Tensor) => ({
    value: tf.reshape(f(q), [-1]),
    first: slopes(q),
    second: grad((r: tf.Tensor) => tf.sum(slopes(r)))(q),
  });
  const perEngine = engines.map(({ name: on, engine }) =>
    attempt(`${name} on ${on}`, async () => {
      const result = await (await engine.compile(all, specOf(x), { name })).run(x as NdArray & Record<never, never>);
      return (['value', 'first', 'second'] as const).map((key) => {
        const numbers = float32(expected[key], [expected[key].length]);
        return compare(`${name}: ${key} on ${on}`, result[key], numbers, 1e-5, 1);
      });
    }),
  );
  return (await Promise.all(perEngine)).flat();
}
