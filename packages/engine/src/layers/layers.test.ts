import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createEngine, type Engine } from '../engine.ts';
import { float32, type NdArray, specOf } from '../ndarray.ts';
import { draw, relativeError } from '../testing.ts';
import { gelu, silu } from './activation.ts';
import { adaptiveAveragePool, adaptiveMaxPool } from './adaptive-pooling.ts';
import { attention } from './attention.ts';
import { cosineTransform, inverseCosineTransform } from './cosine-transform.ts';
import { groupedConv2d } from './grouped-convolution.ts';
import { batchNorm, groupNorm, layerNorm } from './normalization.ts';
import { sort } from './sort.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

async function evaluate(f: (x: tf.Tensor) => tf.Tensor, x: NdArray): Promise<NdArray> {
  return (await (await engine.compile((input: tf.Tensor) => f(input), specOf(x))).run(x)) as NdArray;
}

const range = (length: number, map = (i: number) => i) => Array.from({ length }, (_, i) => map(i));
const scattered = float32(
  range(15, (i) => (i * 7) % 11),
  [1, 3, 5, 1],
);

interface Case {
  readonly x: NdArray;
  readonly f: (x: tf.Tensor) => tf.Tensor;
  readonly expected: readonly number[];
}

// computed with PyTorch 2 (torch.nn.functional) on the same numbers, unless a name says otherwise
const cases: Readonly<Record<string, Case>> = {
  gelu: {
    x: float32([-3, -1, 0, 0.5, 2], [5]),
    f: (x) => gelu(x),
    expected: [-0.004050225, -0.158655256, 0, 0.345731229, 1.954499722],
  },
  'gelu by tanh': {
    x: float32([-3, -1, 0, 0.5, 2], [5]),
    f: (x) => gelu(x, { approximate: true }),
    expected: [-0.003637433, -0.158807993, 0, 0.345714003, 1.954597712],
  },
  silu: {
    x: float32([-3, -1, 0, 0.5, 2], [5]),
    f: silu,
    expected: [-0.142277613, -0.268941432, 0, 0.311229676, 1.761594057],
  },
  layerNorm: {
    x: float32([1, 2, 4, 0, -1, 3], [2, 3]),
    f: (x) => layerNorm(x, { scale: tf.tensor1d([1, 2, 3]), offset: tf.tensor1d([0, 0.5, 1]) }),
    expected: [-1.069041371, -0.034520566, 5.008905411, -0.392231554, -1.461157918, 5.118432045],
  },
  groupNorm: {
    x: float32([1, 5, 2, 8, 0, 3, 7, 4], [1, 1, 2, 4]),
    f: (x) => groupNorm(x, 2),
    expected: [
      -0.650943637, 1.432076097, -1.362769127, 1.153112411, -1.17169857, 0.39056623, 0.733798862, -0.524141908,
    ],
  },
  batchNorm: {
    x: float32([1, 2, 3, 8, 5, 2], [3, 2]),
    f: (x) => batchNorm(x).value,
    expected: [-1.224742651, -0.707106352, 0, 1.414212704, 1.224742412, -0.707106352],
  },
  'the statistics of batchNorm, by hand': {
    x: float32([1, 2, 3, 8, 5, 2], [3, 2]),
    f: (x) => tf.concat([batchNorm(x).mean, batchNorm(x).variance]),
    expected: [3, 4, 8 / 3, 8],
  },
  adaptiveAveragePool: {
    x: scattered,
    f: (x) => adaptiveAveragePool(x, [2, 3]),
    expected: [4.5, 5.833333492, 6.25, 3.75, 4.166666508, 5.5],
  },
  adaptiveMaxPool: { x: scattered, f: (x) => adaptiveMaxPool(x, [2, 3]), expected: [9, 10, 10, 9, 9, 10] },
  attention: {
    x: float32([1, 0, 0.5, 2], [1, 2, 2]),
    f: (q) => attention(q, tf.tensor3d([1, 1, 0, -1, 2, 0], [1, 3, 2]), tf.tensor3d([1, 2, 4], [1, 3, 1])),
    expected: [2.867955208, 1.778382182],
  },
  groupedConv2d: {
    x: float32(range(18), [1, 3, 3, 2]),
    f: (x) =>
      groupedConv2d(
        x,
        tf.tensor(
          range(8, (i) => i - 3),
          [2, 2, 1, 2],
        ),
        { groups: 2, pad: 'valid' },
      ),
    expected: [28, 48, 28, 56, 28, 72, 28, 80],
  },
  // only the constant coefficient is not zero: the sum over sqrt(H W)
  'the cosine transform of a constant, by hand': {
    x: float32(
      range(6, () => 2),
      [1, 2, 3, 1],
    ),
    f: cosineTransform,
    expected: [12 / Math.sqrt(6), 0, 0, 0, 0, 0],
  },
  // cos((2 n + 1) pi / 4) = +-1/sqrt 2: an orthonormal butterfly of sums and differences
  'the cosine transform of two by two pixels, by hand': {
    x: float32([1, 2, 3, 5], [1, 2, 2, 1]),
    f: cosineTransform,
    expected: [5.5, -1.5, -2.5, 0.5],
  },
  'sort, rising': { x: float32([3, 1, 2, 0, -1, 7], [2, 3]), f: (x) => sort(x).values, expected: [1, 2, 3, -1, 0, 7] },
  'sort, falling: where from': {
    x: float32([3, 1, 3, 0, -1, 7], [2, 3]),
    f: (x) => tf.cast(sort(x, { descending: true }).indices, 'float32'),
    expected: [0, 2, 1, 2, 0, 1],
  },
};

test.each(Object.entries(cases))('%s', async (_, { x, f, expected }) => {
  const { data } = await evaluate(f, x);
  expect(data).toHaveLength(expected.length);
  for (const [i, number] of expected.entries()) expect(data[i]).toBeCloseTo(number, 5);
});

test('the inverse cosine transform undoes the cosine transform', async () => {
  const x = draw('x', [2, 7, 12, 3]);
  expect(relativeError(await evaluate((q) => inverseCosineTransform(cosineTransform(q)), x), x)).toBeLessThan(1e-6);
});

describe('shapes that do not fit are errors', () => {
  const x = draw('x', [1, 4, 4, 6]);
  test.each<[string, (x: tf.Tensor) => tf.Tensor, RegExp]>([
    ['groups of groupNorm', (q) => groupNorm(q, 4), /groupNorm of \[1,4,4,6\] in 4 groups/],
    [
      'groups of groupedConv2d',
      (q) => groupedConv2d(q, tf.ones([3, 3, 2, 4]), { groups: 2 }),
      /groupedConv2d of images \[1,4,4,6\] with a filter \[3,3,2,4\] in 2 groups/,
    ],
    ['a size of adaptive pooling', (q) => adaptiveMaxPool(q, [0, 2]), /adaptive pooling of \[1,4,4,6\] to 0 x 2/],
  ])('%s', async (_, f, message) => {
    await expect(evaluate(f, x)).rejects.toMatchObject({
      reason: 'SHAPE_MISMATCH',
      message: expect.stringMatching(message),
    });
  });
});
