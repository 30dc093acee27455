import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createEngine, type Engine } from '../engine.ts';
import { spec } from '../ndarray.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

test.each<[string, (x: tf.Tensor) => tf.Tensor, RegExp]>([
  ['einsum of a diagonal', (x) => tf.einsum('ii->i', x), /einsum 'ii->i' of 1 tensors: .* no letter twice in a term/],
  ['einsum with too few tensors', (x) => tf.einsum('ij,jk->ik', x), /einsum 'ij,jk->ik' of 1 tensors/],
  [
    'depthToSpace of channels first',
    (x) => tf.depthToSpace(tf.reshape(x, [1, 4, 2, 2]) as tf.Tensor4D, 2, 'NCHW'),
    /DepthToSpace of NCHW images: only NHWC/,
  ],
  [
    'an operation without a row',
    (x) => tf.cumprod(x),
    /no row for the TensorFlow.js kernel Cumprod \(used by 'f'\): it belongs into a table of packages\/engine\/src\/operations/,
  ],
])('%s is an error that says so', async (_, f, message) => {
  const traced = engine.compile((x: tf.Tensor) => f(x), spec(4, 4), { name: 'f' });
  await expect(traced).rejects.toMatchObject({
    reason: 'UNSUPPORTED_OPERATION',
    message: expect.stringMatching(message),
  });
});
