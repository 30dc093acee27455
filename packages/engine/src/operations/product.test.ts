import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { createEngine } from '../engine.ts';
import { float32, spec } from '../ndarray.ts';

// TensorFlow.js' plain backend gets this wrong when it is asked directly
test.each(['onnx', 'reference'] as const)('matMul over batches that both operands repeat, on %s', async (name) => {
  const engine = await createEngine({ engine: name });
  const f = ({ a, b }: { a: tf.Tensor; b: tf.Tensor }) => tf.matMul(a, b);
  const compiled = await engine.compile(f, { a: spec(2, 1, 1, 1), b: spec(3, 1, 1) });
  const product = await compiled.run({ a: float32([1, 10], [2, 1, 1, 1]), b: float32([2, 3, 4], [3, 1, 1]) });
  expect(product).toEqual(float32([2, 3, 4, 20, 30, 40], [2, 3, 1, 1]));
  await engine.dispose();
});
