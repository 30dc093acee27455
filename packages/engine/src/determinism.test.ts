import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { valueAndGrad, vjp } from './autodiff.ts';
import { createEngine, type EngineOptions } from './engine.ts';
import { type NdArray, spec } from './ndarray.ts';
import { draw } from './testing.ts';

// Large enough that ONNX Runtime divides the convolutions and the product among threads.
const specs = {
  x: spec(16, 16, 16, 3),
  v: spec(16, 10),
  a: spec(3, 3, 3, 32),
  b: spec(3, 3, 32, 32),
  c: spec(512, 10),
};
type Inputs = Readonly<Record<keyof typeof specs, tf.Tensor>>;

function step({ x, v, ...parameters }: Inputs) {
  const conv = (image: tf.Tensor, filter: tf.Tensor) =>
    tf.relu(tf.conv2d(image as tf.Tensor4D, filter as tf.Tensor4D, 2, 'same'));
  return valueAndGrad(({ a, b, c }: { a: tf.Tensor; b: tf.Tensor; c: tf.Tensor }) => {
    const forward = (q: tf.Tensor) => tf.matMul(tf.reshape(conv(tf.tanh(conv(q, a)), b), [16, 512]), c);
    const { value, pullback } = vjp(forward, x);
    return tf.add(tf.mean(tf.square(value)), tf.sum(tf.square(pullback(v))));
  }, parameters);
}

async function bits(options: EngineOptions, runs: number): Promise<string[]> {
  const engine = await createEngine(options);
  const compiled = await engine.compile(step, specs);
  const inputs = Object.fromEntries(Object.entries(specs).map(([name, { shape }]) => [name, draw(name, shape)]));
  const texts: string[] = [];
  for (let i = 0; i < runs; i++) {
    const { gradient } = (await compiled.run(inputs as never)) as { gradient: Record<string, NdArray> };
    texts.push(
      Object.values(gradient)
        .map(({ data }) => Buffer.from(data.buffer).toString('base64'))
        .join(),
    );
  }
  await engine.dispose();
  return texts;
}

test('equal inputs give equal bits: from run to run, from session to session, and with one thread or two', async () => {
  const all = [
    ...(await bits({ threads: 1 }, 3)),
    ...(await bits({ threads: 1 }, 1)),
    ...(await bits({ threads: 2 }, 3)),
  ];
  expect(new Set(all).size).toBe(1);
});

test('another block size adds in another order, and is another result in the last bits', async () => {
  const [blocked] = await bits({ threads: 1 }, 1);
  const [standard] = await bits({ threads: 1, blockSize: 1 }, 1);
  const engine = await createEngine();
  expect(blocked === standard).toBe(engine.info.blockSize === 1);
  await engine.dispose();
});
