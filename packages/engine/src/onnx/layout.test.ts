import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createEngine, type Engine } from '../engine.ts';
import { spec } from '../ndarray.ts';
import { draw, relativeError } from '../testing.ts';

// A convolution leaves its result in the blocked layout; every way in which other values meet it must give the same numbers.

let blocked: Engine;
let plain: Engine;
let reference: Engine;
beforeAll(async () => {
  blocked = await createEngine({ threads: 1 });
  plain = await createEngine({ threads: 1, blockSize: 1 });
  reference = await createEngine({ engine: 'reference' });
});
afterAll(() => Promise.all([blocked, plain, reference].map((engine) => engine.dispose())));

type Combine = (image: tf.Tensor4D, x: tf.Tensor, other: tf.Tensor4D) => tf.Tensor;

const cases: readonly [string, Combine][] = [
  ['a bias', (image) => tf.add(image, tf.range(0, 32))],
  ['a bias on the left', (image) => tf.add(tf.range(0, 32), image)],
  ['two biases', (image) => tf.add(tf.add(image, tf.range(0, 32)), tf.range(5, 37))],
  ['a bias that is not the only use', (image) => tf.mul(tf.add(image, tf.range(0, 32)), image)],
  ['a scalar', (image) => tf.sub(2, image)],
  ['a number for each image', (image, x) => tf.mul(image, tf.mean(x, [1, 2, 3], true))],
  ['a number for each pixel', (image, x) => tf.div(image, tf.add(tf.square(tf.sum(x, 3, true)), 1))],
  ['a row for each column', (image) => tf.maximum(image, tf.reshape(tf.range(0, 96), [3, 32]))],
  ['a number for each row', (image) => tf.mul(image, tf.reshape(tf.range(1, 5), [4, 1, 1]))],
  ['an image in rows', (image, x) => tf.mul(image, tf.tile(x, [1, 1, 1, 16]))],
  ['another blocked image', (image, _, other) => tf.mul(tf.tanh(image), other)],
  ['a mask', (image, _, other) => tf.where(tf.greater(image, other), image, tf.neg(other))],
  ['a broadcast image', (image, x) => tf.add(image, tf.broadcastTo(tf.mean(x, [1, 2, 3], true), [2, 4, 3, 32]))],
  [
    'nothing but broadcasts',
    (_, x) =>
      tf.mul(
        tf.broadcastTo(tf.mean(x, [0, 3], true), [2, 4, 3, 2]),
        tf.broadcastTo(tf.mean(x, [1, 2], true), [2, 4, 3, 2]),
      ),
  ],
  ['a smaller blocked image', (image) => tf.mul(image, tf.slice(image, [0, 0, 0, 0], [1, 4, 3, 32]))],
  ['the sum over pixels', (image) => tf.sum(image, [1, 2])],
  ['the mean over pixels and images', (image) => tf.mean(image, [0, 1, 2])],
  ['the mean over pixels and channels', (image) => tf.mean(image, [1, 2, 3], true)],
  ['the maximum of all', (image) => tf.max(image)],
  ['the sum over channels', (image) => tf.sum(image, 3)],
  ['a reshape', (image) => tf.reshape(image, [2, -1])],
  ['a transposition', (image) => tf.transpose(image, [3, 0, 2, 1])],
  ['a slice', (image) => tf.slice(image, [0, 1, 0, 3], [2, 2, 3, 7])],
  [
    'a padding',
    (image) =>
      tf.pad(
        image,
        [
          [0, 0],
          [1, 0],
          [0, 2],
          [0, 0],
        ],
        3,
      ),
  ],
  ['a concatenation', (image, x) => tf.concat([image, x], 3)],
  ['softmax over channels', (image) => tf.softmax(image)],
  ['argmax over channels', (image) => tf.argMax(image, 3)],
  ['the next convolution', (image) => tf.conv2d(image, tf.ones([2, 2, 32, 5]), 1, 'valid')],
  ['pooling', (image) => tf.maxPool(image, 2, 2, 'valid')],
  ['growing', (image) => tf.image.resizeNearestNeighbor(image, [8, 9])],
];

test.each(cases)('%s', async (_, combine) => {
  const f = ({ x, w, v }: Record<'x' | 'w' | 'v', tf.Tensor>) => {
    const conv = (filter: tf.Tensor) => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same');
    return combine(conv(w), x, conv(v));
  };
  const specs = { x: spec(2, 4, 3, 2), w: spec(3, 3, 2, 32), v: spec(1, 1, 2, 32) };
  const inputs = { x: draw('x', specs.x.shape), w: draw('w', specs.w.shape), v: draw('v', specs.v.shape) };
  const expected = await (await reference.compile(f, specs)).run(inputs);
  for (const engine of [blocked, plain]) {
    const actual = await (await engine.compile(f, specs)).run(inputs);
    expect(actual.shape).toEqual(expected.shape);
    expect(relativeError(actual, expected), `block ${engine.info.blockSize}`).toBeLessThan(1e-5);
  }
});
