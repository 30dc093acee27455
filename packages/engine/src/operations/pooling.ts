import * as tf from '@tensorflow/tfjs-core';
import { windowTaps } from './convolution.ts';
import { composite, type Operation } from './operation.ts';
import { pair, single } from './rules.ts';
import { real, type Sample, sample } from './samples.ts';

type PoolAttributes = {
  filterSize: number | readonly number[];
  strides: number | readonly number[];
  pad: 'same' | 'valid' | number | readonly (readonly number[])[];
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
};

function windowSize({ filterSize }: PoolAttributes): [number, number] {
  return typeof filterSize === 'number' ? [filterSize, filterSize] : pair(filterSize);
}

/** Smaller than any value that matters, and harmless when it is multiplied by zero, unlike an infinity. */
const LOWEST = -3e38;

type Pool = (x: tf.Tensor4D, size: number, strides: number, pad: 'same' | 'valid' | number) => tf.Tensor4D;

/** Neighbours that differ by more than differences move them, so that these do not cross a tie. */
const distinct = (x: tf.Tensor) => {
  const order = Array.from({ length: x.size }, (_, i) => ((i * 37) % 101) / 25);
  return tf.add(tf.mul(x, 0.01), tf.tensor(order, x.shape));
};

function samplesOf(pool: Pool): Sample[] {
  const on = (size: number, strides: number, pad: 'same' | 'valid' | number) => (x: tf.Tensor) =>
    tf.square(pool(distinct(x) as tf.Tensor4D, size, strides, pad));
  return [
    sample([real([2, 4, 6, 3])], on(2, 2, 'valid')),
    sample([real([2, 4, 4, 16])], on(2, 2, 'same')),
    sample([real([1, 5, 5, 2])], on(2, 2, 'valid')),
    sample([real([1, 5, 6, 2])], on(3, 2, 'same')),
    sample([real([1, 5, 5, 2])], on(3, 1, 1)),
  ];
}

export const pooling = {
  // ties: each place gets an equal share in two-way comparisons
  MaxPool: composite<PoolAttributes>({
    inputs: ['x'],
    compose(inputs, attributes) {
      const { taps } = windowTaps(single(inputs), windowSize(attributes), attributes, LOWEST);
      return taps.reduce((largest, tap) => tf.maximum(largest, tap));
    },
    samples: samplesOf(tf.maxPool),
  }),
  // padding does not count
  AvgPool: composite<PoolAttributes>({
    inputs: ['x'],
    compose(inputs, attributes) {
      const { taps, count, outHeight, outWidth } = windowTaps(single(inputs), windowSize(attributes), attributes, 0);
      const sum = taps.reduce((total, tap) => tf.add(total, tap));
      return tf.div(sum, tf.tensor(count, [outHeight, outWidth, 1]));
    },
    samples: samplesOf(tf.avgPool),
  }),
} satisfies Record<string, Operation>;
