import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { createEngine } from '../engine.ts';
import type { Graph, Node } from '../graph.ts';
import { float32, spec } from '../ndarray.ts';
import { draw } from '../testing.ts';
import { addonObstacle, loadAddon } from './addon.ts';
import { loadTensorflow } from './program.ts';

const isMissing = addonObstacle('cpu') !== undefined;

test.skipIf(isMissing)('runs leave no tensors behind, released functions no models', async () => {
  const addon = loadAddon('cpu', 1);
  const held = () => [addon.getNumOfTensors(), addon.getNumOfSavedModels()];
  const engine = await createEngine({ engine: 'tensorflow', device: 'cpu', threads: 1 });
  const step = (x: tf.Tensor) => tf.relu(tf.matMul(x, x));
  const compiled = await engine.compile(step, spec(8, 8));
  let x = draw('x', [8, 8]);
  for (let i = 0; i < 100; i++) x = await compiled.run(x);
  expect(held()).toEqual([0, 1]);
  await engine.dispose();
  expect(held()).toEqual([0, 0]);
});

test.skipIf(isMissing)('results are bit-identical from run to run, and between loaded functions', async () => {
  const engine = await createEngine({ engine: 'tensorflow', device: 'cpu', threads: 1 });
  const convolve = (w: tf.Tensor) => (x: tf.Tensor) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same');
  const step = ({ x, w }: { x: tf.Tensor; w: tf.Tensor }) => tf.sum(tf.tanh(convolve(w)(x)), [0, 1, 2]);
  const inputs = { x: draw('x', [4, 9, 9, 3]), w: draw('w', [3, 3, 3, 5]) };
  const specs = { x: spec(4, 9, 9, 3), w: spec(3, 3, 3, 5) };
  const first = await engine.compile(step, specs, { name: 'first' });
  const second = await engine.compile(step, specs, { name: 'second' });
  const results = [await first.run(inputs), await first.run(inputs), await second.run(inputs)].map(({ data }) => [
    ...data,
  ]);
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
  await engine.dispose();
});

test.skipIf(isMissing)('what TensorFlow refuses is an error that names the function', async () => {
  const node: Node = { id: 0, kernel: 'Input', inputs: [], attributes: {}, shape: [2], dtype: 'float32' };
  const wrong: Node = { ...node, id: 1, kernel: 'Reshape', inputs: [node], shape: [3] };
  const graph: Graph = {
    name: 'impossible',
    nodes: [node, wrong],
    inputs: [{ name: 'x', node }],
    outputs: [{ name: 'y', node: wrong }],
  };
  const load = async () => (await loadTensorflow(graph, loadAddon('cpu', 1))).run([float32([1, 2], [2])]);
  await expect(load()).rejects.toMatchObject({
    reason: 'RUNTIME_FAILURE',
    message: expect.stringMatching(/'impossible'/),
  });
});
