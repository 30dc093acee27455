import * as tf from '@tensorflow/tfjs-core';
import { gelu, silu } from '../layers/activation.ts';
import { adaptiveAveragePool, adaptiveMaxPool } from '../layers/adaptive-pooling.ts';
import { attention } from '../layers/attention.ts';
import { cosineTransform, inverseCosineTransform } from '../layers/cosine-transform.ts';
import { groupedConv2d } from '../layers/grouped-convolution.ts';
import { batchNorm, groupNorm, layerNorm } from '../layers/normalization.ts';
import { sort } from '../layers/sort.ts';
import { booleans, integers, positive, real, realAwayFrom, type Sample, sample } from '../operations/samples.ts';

/** Neighbours that differ by more than differences move them. */
const distinct = (x: tf.Tensor) => {
  const order = Array.from({ length: x.size }, (_, i) => ((i * 37) % 101) / 25);
  return tf.add(tf.mul(x, 0.01), tf.tensor(order, x.shape));
};

const whole = (value: number) => tf.scalar(value, 'int32');
const anyShape = { anyShape: true };

/** Functions of several operations, those of TensorFlow.js and those of this package, that models, attacks and explanations use. */
export const compositions: Readonly<Record<string, readonly Sample[]>> = {
  gelu: [
    sample([real([2, 3])], (x) => gelu(x), { ...anyShape, tolerance: 1e-4 }),
    sample([real([2, 3])], (x) => gelu(x, { approximate: true }), anyShape),
  ],
  silu: [sample([real([2, 3])], silu, anyShape)],
  layerNorm: [
    sample([real([2, 3, 4]), real([4]), real([4])], (x, scale, offset) =>
      tf.square(layerNorm(x, { scale, offset, epsilon: 0.1 })),
    ),
  ],
  groupNorm: [
    sample([real([2, 2, 2, 4]), real([4]), real([4])], (x, scale, offset) =>
      tf.square(groupNorm(x, 2, { scale, offset, epsilon: 0.1 })),
    ),
  ],
  batchNorm: [
    sample([real([3, 2, 2, 2]), real([2])], (x, scale) => tf.square(batchNorm(x, { scale, epsilon: 0.1 }).value)),
    sample([real([4, 2])], (x) => tf.mul(batchNorm(x).mean, batchNorm(x).variance)),
  ],
  groupedConv2d: [
    sample([real([1, 4, 4, 4]), real([3, 3, 2, 6])], (x, w) => tf.square(groupedConv2d(x, w, { groups: 2 })), {
      tolerance: 1e-4,
    }),
    sample(
      [real([1, 5, 5, 6]), real([3, 3, 2, 3])],
      (x, w) => tf.square(groupedConv2d(x, w, { groups: 3, strides: 2, pad: 'valid' })),
      { tolerance: 1e-4 },
    ),
    sample(
      [real([1, 5, 5, 4]), real([2, 2, 2, 2])],
      (x, w) => tf.square(groupedConv2d(x, w, { groups: 2, dilations: 2 })),
      { tolerance: 1e-4 },
    ),
    sample([real([2, 4, 3, 16]), real([3, 3, 4, 16])], (x, w) => tf.square(groupedConv2d(x, w, { groups: 4 })), {
      tolerance: 1e-4,
    }),
    sample(
      [real([1, 4, 4, 20]), real([3, 2, 4, 10])],
      (x, w) => tf.square(groupedConv2d(x, w, { groups: 5, strides: [2, 1] })),
      { tolerance: 1e-4 },
    ),
  ],
  depthwiseConv2d: [
    sample([real([1, 6, 5, 2]), real([3, 3, 2, 2])], (x, w) =>
      tf.square(tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same', 'NHWC', 2)),
    ),
    sample([real([1, 6, 5, 2]), real([3, 2, 2, 1])], (x, w) =>
      tf.square(tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, [2, 2], 'same')),
    ),
  ],
  separableConv2d: [
    sample([real([1, 4, 4, 2]), real([3, 3, 2, 2]), real([1, 1, 4, 3])], (x, w, v) =>
      tf.square(tf.separableConv2d(x as tf.Tensor4D, w as tf.Tensor4D, v as tf.Tensor4D, 2, 'same')),
    ),
  ],
  conv2dTranspose: [
    sample([real([1, 3, 3, 2]), real([4, 4, 3, 2])], (x, w) =>
      tf.square(tf.conv2dTranspose(x as tf.Tensor4D, w as tf.Tensor4D, [1, 8, 8, 3], 2, 'valid')),
    ),
    sample([real([1, 3, 3, 2]), real([2, 2, 1, 2])], (x, w) =>
      tf.square(tf.conv2dTranspose(x as tf.Tensor4D, w as tf.Tensor4D, [1, 3, 3, 1], 1, 'same')),
    ),
  ],
  conv1d: [
    sample([real([2, 5, 2]), real([3, 2, 3])], (x, w) =>
      tf.square(tf.conv1d(x as tf.Tensor3D, w as tf.Tensor3D, 1, 'same')),
    ),
  ],
  adaptivePool: [
    sample([real([1, 5, 7, 2])], (x) => tf.square(adaptiveAveragePool(x, [2, 3]))),
    sample([real([1, 4, 4, 2])], (x) => tf.square(adaptiveMaxPool(distinct(x), [2, 2]))),
    sample([real([1, 5, 3, 2])], (x) => tf.square(adaptiveMaxPool(distinct(x), [3, 3]))),
  ],
  // Queries are scaled: of products around 20,000 the last bits, which depend on the order of additions, are per cents after the exponential.
  attention: [
    sample([real([2, 2, 3, 4]), real([2, 2, 5, 4]), real([2, 2, 5, 3])], (q, k, v) => attention(tf.mul(q, 0.01), k, v)),
    sample([real([2, 3, 4]), real([1, 5, 4]), real([1, 5, 2])], (q, k, v) =>
      tf.square(attention(tf.mul(q, 0.01), k, v)),
    ),
  ],
  'cosine transform': [
    sample([real([1, 4, 3, 2])], (x) => tf.square(cosineTransform(x))),
    sample([real([1, 4, 3, 2])], (x) => tf.square(inverseCosineTransform(tf.tanh(cosineTransform(x))))),
  ],
  sort: [
    sample([real([2, 5])], (x) => tf.square(tf.mul(sort(distinct(x)).values, tf.range(1, 6)))),
    sample([real([7])], (x) => sort(distinct(x), { descending: true }).indices),
  ],
  logSumExp: [
    sample([real([2, 4])], (x) => tf.logSumExp(x, 1)),
    sample([real([2, 3, 2])], (x) => tf.square(tf.logSumExp(x, [0, 2], true))),
  ],
  'cross-entropy': [
    sample([real([3, 4]), positive([3, 4])], (z, y) => tf.losses.softmaxCrossEntropy(tf.div(y, tf.sum(y, 1, true)), z)),
    sample([real([3, 4]), positive([3, 4])], (z, y) => tf.neg(tf.sum(tf.mul(y, tf.logSoftmax(z)), 1))),
    sample([real([3, 4]), real([3, 4], 0.1, 0.9)], (z, y) => tf.losses.sigmoidCrossEntropy(y, z), { order: 1 }),
  ],
  norm: [
    sample([realAwayFrom([0], [2, 3])], (x) => tf.norm(x, 'euclidean', 1)),
    sample([realAwayFrom([0], [2, 3])], (x) => tf.square(tf.norm(x, 1, 1))),
    sample([real([2, 3])], (x) => tf.square(tf.norm(distinct(x), Number.POSITIVE_INFINITY, 1))),
    sample([realAwayFrom([0], [2, 3])], (x) => tf.norm(x, 'fro', [0, 1])),
  ],
  moments: [sample([real([2, 3])], (x) => tf.mul(tf.moments(x, 0).mean, tf.moments(x, 0).variance))],
  logSigmoid: [sample([real([2, 3])], tf.logSigmoid, anyShape)],
  divNoNan: [sample([real([2, 3]), positive([2, 3])], tf.divNoNan)],
  'matMul over broadcast batches': [
    sample([real([2, 3, 2, 3]), real([3, 3, 2])], (a, b) => tf.square(tf.matMul(a, b))),
    sample([real([2, 2, 3, 2]), real([1, 1, 4, 3])], (a, b) => tf.square(tf.matMul(a, b, true, true))),
  ],
  'split and stack': [
    sample([real([4, 3])], (x) => tf.square(tf.stack(tf.unstack(x).reverse(), 1))),
    sample([real([5, 2])], (x) =>
      tf.mul(...(tf.split(x, [2, 3]).map((part) => tf.sum(part)) as [tf.Tensor, tf.Tensor])),
    ),
  ],
  outerProduct: [sample([real([3]), real([2])], (a, b) => tf.outerProduct(a as tf.Tensor1D, b as tf.Tensor1D))],
  'int32 arithmetic': [
    tf.add,
    tf.sub,
    tf.mul,
    tf.div,
    tf.mod,
    tf.pow,
    tf.maximum,
    tf.minimum,
    tf.squaredDifference,
    tf.greaterEqual,
  ].map((call) =>
    sample([integers([2, 3], 9), integers([3], 4)], (a, b) => call(tf.sub(a, whole(4)), tf.add(b, whole(1)))),
  ),
  'int32 functions': [
    tf.abs,
    tf.neg,
    tf.sign,
    tf.square,
    tf.relu,
    (x: tf.Tensor) => tf.clipByValue(x, -2, 1),
    (x: tf.Tensor) => tf.sum(x, 1),
    (x: tf.Tensor) => tf.max(x, 0),
    (x: tf.Tensor) => tf.min(x),
    (x: tf.Tensor) => tf.argMax(x, 1),
    (x: tf.Tensor) =>
      tf.mirrorPad(
        tf.tile(tf.transpose(x), [1, 2]),
        [
          [1, 0],
          [0, 2],
        ],
        'reflect',
      ),
    (x: tf.Tensor) => tf.concat([tf.reverse(x), tf.slice(x, [1, 0], [1, 4])]),
    (x: tf.Tensor) => tf.where(tf.greater(x, whole(0)), x, tf.zerosLike(x)),
    (x: tf.Tensor) => tf.mul(x, 0.5),
  ].map((call) => sample([integers([3, 4], 9)], (x) => call(tf.sub(x, whole(4))))),
  'booleans as values': [
    (x: tf.Tensor) =>
      tf.pad(tf.tile(tf.transpose(x), [1, 2]), [
        [1, 0],
        [0, 2],
      ]),
    (x: tf.Tensor) => tf.concat([tf.reverse(x), tf.slice(x, [1, 0], [1, 4])]),
    (x: tf.Tensor) => tf.gather(tf.expandDims(x, 0), [1, 2], 1),
    (x: tf.Tensor) => tf.sum(x, 1),
    (x: tf.Tensor) => tf.mean(x, 0),
  ].map((call) => sample([booleans([3, 4])], call)),
  'five dimensions': [
    sample([real([2, 1, 3, 2, 2])], (x) => tf.square(tf.transpose(x, [4, 2, 0, 3, 1]))),
    sample([real([2, 1, 3, 2, 2])], (x) => tf.square(tf.mean(x, [1, 3]))),
    sample([real([2, 1, 3, 2, 2])], (x) => tf.square(tf.max(distinct(x), [0, 4], true))),
    sample([real([2, 1, 3, 2, 2])], (x) => tf.softmax(x)),
    sample([real([2, 1, 3, 2, 2]), real([3, 1, 2])], (x, y) => tf.mul(x, tf.square(y))),
    sample([real([2, 1, 3, 2, 2])], (x) => tf.square(tf.concat([x, tf.slice(x, [0, 0, 1, 0, 0], [2, 1, 2, 2, 2])], 2))),
    sample([real([2, 1, 3, 2, 2])], (x) => tf.square(tf.tile(tf.reverse(x, [2, 4]), [1, 2, 1, 1, 2]))),
    sample([real([2, 2, 1, 2, 3]), real([2, 1, 3, 2])], (a, b) => tf.matMul(a, b)),
  ],
};
