import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { grad, valueAndGrad } from '../autodiff.ts';
import { createEngine, type Engine } from '../engine.ts';
import { type NdArray, spec } from '../ndarray.ts';
import { draw, relativeError } from '../testing.ts';
import { traceFunction } from '../trace-function.ts';
import { OnnxGraph } from './graph.ts';
import { lowerNodes } from './lower.ts';

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
  ['a ReLU', (image) => tf.relu(image)],
  ['a ReLU of a sum of two', (image, _, other) => tf.relu(tf.add(tf.add(image, tf.range(0, 32)), other))],
  ['a ReLU that is not the only use', (image) => tf.add(tf.relu(image), image)],
  ['twice itself', (image) => tf.add(image, image)],
  ['a sum of a sum', (image, x, other) => tf.add(tf.add(image, other), tf.tile(x, [1, 1, 1, 16]))],
  ['a sum with a ReLU of itself', (image, _, other) => tf.relu(tf.add(other, tf.relu(image)))],
  ['pooling', (image) => tf.maxPool(image, 2, 2, 'valid')],
  ['growing', (image) => tf.image.resizeNearestNeighbor(image, [8, 9])],
];

const inputsOf = (specs: Readonly<Record<string, ReturnType<typeof spec>>>) =>
  Object.fromEntries(Object.entries(specs).map(([name, { shape }]) => [name, draw(name, shape)]));

async function agree(f: (inputs: never) => tf.Tensor, specs: Readonly<Record<string, ReturnType<typeof spec>>>) {
  const inputs = inputsOf(specs);
  const expected = await (await reference.compile(f as never, specs)).run(inputs);
  for (const engine of [blocked, plain]) {
    const actual = (await (await engine.compile(f as never, specs)).run(inputs)) as unknown as NdArray;
    expect(actual.shape).toEqual((expected as unknown as NdArray).shape);
    expect(relativeError(actual, expected as unknown as NdArray), `block ${engine.info.blockSize}`).toBeLessThan(1e-5);
  }
}

test.each(cases)('%s', (_, combine) =>
  agree(
    ({ x, w, v }: Record<'x' | 'w' | 'v', tf.Tensor>) => {
      const conv = (filter: tf.Tensor) => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same');
      return combine(conv(w), x, conv(v));
    },
    { x: spec(2, 4, 3, 2), w: spec(3, 3, 2, 32), v: spec(1, 1, 2, 32) },
  ),
);

// A transposed convolution with stride 2 leaves its result in four phases.
test.each(cases)('in phases: %s', (_, combine) =>
  agree(
    ({ dy, x, w, v }: Record<'dy' | 'x' | 'w' | 'v', tf.Tensor>) => {
      const transposed = (filter: tf.Tensor) =>
        tf.conv2dTranspose(dy as tf.Tensor4D, filter as tf.Tensor4D, [2, 4, 3, 32], 2, 'same');
      return combine(transposed(w), x, transposed(v));
    },
    { dy: spec(2, 2, 2, 16), x: spec(2, 4, 3, 2), w: spec(3, 3, 32, 16), v: spec(1, 1, 32, 16) },
  ),
);

test('sums of phases are put together once', () => {
  const shape = [2, 8, 6, 32];
  const { graph } = traceFunction(
    (({ dy, w, v }: Record<'dy' | 'w' | 'v', tf.Tensor4D>) => {
      const transposed = (filter: tf.Tensor4D) => tf.conv2dTranspose(dy, filter, shape as [2, 8, 6, 32], 2, 'same');
      return tf.add(tf.add(transposed(w), transposed(v)), transposed(w));
    }) as never,
    { dy: spec(2, 4, 3, 16), w: spec(3, 3, 32, 16), v: spec(1, 1, 32, 16) },
    'sum',
  );
  const onnx = new OnnxGraph(16);
  const { nodes } = lowerNodes(graph, onnx, (input, i) => onnx.input(`in${i}`, input.shape, input.dtype));
  expect(nodes.filter(({ operator }) => operator === 'Concat').map((node) => node.shape)).toEqual([[2, 128, 4, 3]]);
});

const residual = ({ x, w, b }: Record<'x' | 'w' | 'b', tf.Tensor4D>) =>
  tf.relu(tf.add(tf.add(tf.conv2d(x, w, 1, 'same'), b), x));

function loweredResidual(f: (inputs: never) => tf.Tensor) {
  const specs = { x: spec(2, 8, 6, 16), w: spec(3, 3, 16, 16), b: spec(16) };
  const { graph } = traceFunction(f as never, specs, 'residual');
  const onnx = new OnnxGraph(16);
  return lowerNodes(graph, onnx, (input, i) => onnx.input(`in${i}`, input.shape, input.dtype)).nodes.filter(
    ({ operator }) => ['Conv', 'Add', 'Relu'].includes(operator),
  );
}

test('bias, residual and ReLU are part of the convolution that alone has them', () => {
  const [conv, ...rest] = loweredResidual(residual);
  expect(rest).toEqual([]);
  expect(conv?.inputs).toHaveLength(4);
  expect(conv?.attributes.activation).toBe('Relu');
});

test('the derivative of a ReLU asks for its result, so that its convolution still makes it at once', () => {
  const nodes = loweredResidual(((inputs: Record<'x' | 'w' | 'b', tf.Tensor4D>) =>
    grad((x: tf.Tensor4D) => tf.sum(tf.square(residual({ ...inputs, x }))))(inputs.x)) as never);
  expect(nodes.filter(({ operator }) => operator === 'Relu')).toEqual([]);
  expect(nodes.filter(({ attributes }) => attributes.activation === 'Relu')).toHaveLength(1);
});

test('a convolution that somebody else needs too ends in nothing', () => {
  const nodes = loweredResidual((({ x, w }: Record<'x' | 'w', tf.Tensor4D>) => {
    const image = tf.conv2d(x, w, 1, 'same');
    return tf.mul(tf.relu(image), tf.exp(image));
  }) as never);
  expect(nodes.map(({ operator, attributes }) => [operator, attributes.activation])).toEqual([
    ['Conv', undefined],
    ['Relu', undefined],
  ]);
});

test('filters of one pixel are transposed as matrices', () => {
  const onnx = new OnnxGraph(16);
  const filter = onnx.input('w', [32, 48, 1, 1], 'float32');
  const moved = onnx.reordered(filter, filter.shape, [2, 3, 1, 0]);
  expect(moved.shape).toEqual([1, 1, 48, 32]);
  expect(onnx.nodes.flatMap(({ operator, inputs }) => (operator === 'Transpose' ? inputs[0]?.shape : []))).toEqual([
    32, 48,
  ]);
});

test('a depthwise convolution and its gradients leave blocked images where they are', () => {
  const { graph } = traceFunction(
    (({ x, w, v }: Record<'x' | 'w' | 'v', tf.Tensor4D>) => {
      const energy = (q: Record<'x' | 'w' | 'v', tf.Tensor4D>) =>
        tf.sum(tf.square(tf.depthwiseConv2d(tf.conv2d(q.x, q.w, 1, 'same'), q.v, 1, 'same')));
      return valueAndGrad(energy, { x, w, v });
    }) as never,
    { x: spec(2, 8, 6, 16), w: spec(1, 1, 16, 32), v: spec(3, 3, 32, 1) },
    'depthwise',
  );
  const onnx = new OnnxGraph(16);
  const { nodes } = lowerNodes(graph, onnx, (input, i) => onnx.input(`in${i}`, input.shape, input.dtype));
  const depthwise = nodes.filter(({ operator, attributes }) => operator === 'Conv' && attributes.group !== 1);
  expect(depthwise.map(({ attributes }) => attributes.group)).toEqual([32, 32, 64]);
  const [, backwards] = depthwise;
  expect(backwards?.inputs[0]?.operator).toBe('Mul');
});
