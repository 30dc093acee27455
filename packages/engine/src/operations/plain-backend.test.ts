import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { closeEngines, type NamedEngine, openEngines } from '../conformance/engines.ts';
import { float32, type NdArray, specOf } from '../ndarray.ts';

// What TensorFlow.js' plain backend gets wrong when it is called directly, so that it cannot be compared with. Expected by hand.

let engines: readonly NamedEngine[];
beforeAll(async () => {
  engines = await openEngines();
});
afterAll(() => closeEngines(engines));

const range = (shape: readonly number[]) =>
  float32(
    Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => i + 1),
    shape,
  );

test.each<[string, NdArray, (x: tf.Tensor) => tf.Tensor, NdArray]>([
  [
    'matMul over batches that both operands repeat',
    range([2, 1, 1, 1]),
    (x) => tf.matMul(x, tf.tensor3d([2, 3, 4], [3, 1, 1])),
    float32([2, 3, 4, 4, 6, 8], [2, 3, 1, 1]),
  ],
  [
    'stridedSlice with strides that drops an axis',
    range([4, 3, 2]),
    (x) => tf.stridedSlice(x, [1, 0, 0], [2, 3, 2], [1, 2, 1], 0, 0, 0, 0, 1),
    float32([7, 8, 11, 12], [2, 2]),
  ],
  ['cumsum over a negative axis', range([2, 3]), (x) => tf.cumsum(x, -1), float32([1, 3, 6, 4, 9, 15], [2, 3])],
  [
    'einsum that sums a letter of one operand',
    range([2, 2]),
    (x) => tf.einsum('ij,jk->k', x, tf.tensor2d([1, 10, 2, 20], [2, 2])),
    float32([4 * 1 + 6 * 2, 4 * 10 + 6 * 20], [2]),
  ],
])('%s', async (_, x, f, expected) => {
  for (const { name, engine } of engines) {
    const compiled = await engine.compile((input: tf.Tensor) => f(input), specOf(x));
    expect(await compiled.run(x), name).toEqual(expected);
  }
});
