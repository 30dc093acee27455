import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { grad } from './autodiff.ts';
import { createEngine, type Engine } from './engine.ts';
import { float32, type NdArray, specOf } from './ndarray.ts';
import { withSoftplus } from './smoothing.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

const x = float32([-1, 0, 2], [3]);
async function evaluate(f: (x: tf.Tensor) => tf.Tensor): Promise<number[]> {
  const compiled = await engine.compile((input: tf.Tensor) => f(input), specOf(x));
  return Array.from(((await compiled.run(x)) as NdArray).data);
}
/** softplus(beta x) / beta at -1, 0, 2. */
const softplus = (beta: number) => [-1, 0, 2].map((number) => Math.log1p(Math.exp(beta * number)) / beta);

describe('withSoftplus', () => {
  test.each<[string, () => (x: tf.Tensor) => tf.Tensor, number[]]>([
    ['replaces ReLU while its body is traced', () => (q) => withSoftplus(3, () => tf.relu(q)), softplus(3)],
    ['comes near ReLU for a large beta', () => (q) => withSoftplus(1e4, () => tf.relu(q)), [0, Math.LN2 / 1e4, 2]],
    [
      'ends with its body',
      () => (q) =>
        tf.add(
          tf.mul(
            withSoftplus(3, () => tf.neg(q)),
            0,
          ),
          tf.relu(q),
        ),
      [0, 0, 2],
    ],
    [
      'nests: the innermost holds, infinity is ReLU',
      () => (q) => withSoftplus(3, () => withSoftplus(Number.POSITIVE_INFINITY, () => tf.relu(q))),
      [0, 0, 2],
    ],
    ['reaches ReLU inside fused operations', () => fusedRelu, softplus(3)],
    ['leaves ReLU6 alone', () => (q) => withSoftplus(3, () => tf.relu6(q)), [0, 0, 2]],
    ['leaves leaky ReLU alone', () => (q) => withSoftplus(3, () => tf.leakyRelu(q, 0.5)), [-0.5, 0, 2]],
    ['leaves PReLU alone', () => (q) => withSoftplus(3, () => tf.prelu(q, tf.scalar(0.5))), [-0.5, 0, 2]],
    ['leaves ELU alone', () => (q) => withSoftplus(3, () => tf.elu(q)), [1 / Math.E - 1, 0, 2]],
    [
      'gives ReLU a curvature, whether it is inside or outside of the gradient',
      () => (q) => {
        const slope = (f: (x: tf.Tensor) => tf.Tensor) => grad((r: tf.Tensor) => tf.sum(f(r)));
        const outside = withSoftplus(2, () => slope(slope(tf.relu))(q));
        const inside = slope(slope((r) => withSoftplus(2, () => tf.relu(r))))(q);
        return tf.div(tf.add(outside, inside), 2);
      },
      // beta s (1 - s) with s = sigmoid(beta x)
      [-1, 0, 2].map((number) => 2 / ((1 + Math.exp(-2 * number)) * (1 + Math.exp(2 * number)))),
    ],
  ])('%s', async (_, make, expected) => {
    const actual = await evaluate(make());
    for (const [i, number] of expected.entries()) expect(actual[i]).toBeCloseTo(number, 5);
  });

  test('is over when its body throws', async () => {
    const f = (q: tf.Tensor) => {
      const broken = () => {
        throw new Error('broken on purpose');
      };
      expect(() => withSoftplus(3, broken)).toThrow('broken on purpose');
      return tf.relu(q);
    };
    expect(await evaluate(f)).toEqual([0, 0, 2]);
  });

  test.each([0, -1, Number.NaN])('refuses beta %d', (beta) => {
    expect(() => withSoftplus(beta, () => 1)).toThrow(/withSoftplus: beta is .*; it must be a positive number/);
  });

  test('works only while a function is traced', () => {
    expect(() => withSoftplus(1, () => 1)).toThrow(/only inside a function that the engine compiles/);
  });
});

function fusedRelu(q: tf.Tensor): tf.Tensor {
  const column = tf.reshape(q, [3, 1]) as tf.Tensor2D;
  return withSoftplus(3, () => tf.reshape(tf.fused.matMul({ a: column, b: tf.ones([1, 1]), activation: 'relu' }), [3]));
}
