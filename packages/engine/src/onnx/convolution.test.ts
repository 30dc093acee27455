import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { valueAndGrad } from '../autodiff.ts';
import { createEngine, type Engine } from '../engine.ts';
import { type NdArray, spec } from '../ndarray.ts';
import { draw, relativeError } from '../testing.ts';

// All three convolutions and their mutual derivatives, in both layouts, against TensorFlow.js' plain loops.

let engines: Engine[];
let reference: Engine;
beforeAll(async () => {
  const options = { threads: 1, cacheEntries: 2 };
  engines = [await createEngine(options), await createEngine({ ...options, blockSize: 1 })];
  reference = await createEngine({ engine: 'reference', cacheEntries: 2 });
});
afterAll(() => Promise.all([...engines, reference].map((engine) => engine.dispose())));

interface Case {
  readonly batch: number;
  readonly size: readonly [number, number];
  readonly channels: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly pad: 'same' | 'valid' | readonly [number, number, number, number];
}

type Tensors = { x: tf.Tensor; w: tf.Tensor };

/** Value, gradient, and the gradient of the gradient's norm: uses each convolution kernel as a derivative of each other. */
function stepOf({ strides, pad }: Case) {
  const explicit = typeof pad === 'string' ? pad : [[0, 0], pad.slice(0, 2), pad.slice(2), [0, 0]];
  const energy = ({ x, w }: Tensors) =>
    tf.mean(tf.square(tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, [...strides], explicit as 'same')));
  return function convolutionStep(inputs: Tensors) {
    const outer = valueAndGrad((variables: Tensors) => {
      const { gradient } = valueAndGrad(energy, variables);
      return tf.add(tf.sum(tf.square(gradient.x)), tf.sum(tf.square(gradient.w)));
    }, inputs);
    return { first: valueAndGrad(energy, inputs), second: outer };
  };
}

async function check(shape: Case): Promise<void> {
  const [channelsIn, channelsOut] = shape.channels;
  const specs = { x: spec(shape.batch, ...shape.size, channelsIn), w: spec(...shape.kernel, channelsIn, channelsOut) };
  const name = JSON.stringify(shape);
  const inputs = { x: draw(`x${name}`, specs.x.shape), w: draw(`w${name}`, specs.w.shape) };
  const step = stepOf(shape);
  const run = async (engine: Engine) => (await engine.compile(step, specs)).run(inputs);
  const expected = await run(reference);
  for (const engine of engines) {
    const actual = await run(engine);
    const error = (pick: (result: typeof actual) => NdArray) => relativeError(pick(actual), pick(expected), 1e-6);
    const errors = [
      error(({ first }) => first.value),
      error(({ first }) => first.gradient.x),
      error(({ first }) => first.gradient.w),
      error(({ second }) => second.gradient.x),
      error(({ second }) => second.gradient.w),
    ];
    expect(Math.max(...errors), `block ${engine.info.blockSize}: ${errors}`).toBeLessThan(3e-5);
  }
}

describe('convolution and its derivatives to second order', () => {
  const layers: readonly [string, Case][] = [
    [
      'the first layer of lenet',
      { batch: 5, size: [28, 28], channels: [1, 32], kernel: [5, 5], strides: [2, 2], pad: 'same' },
    ],
    [
      'a stage of a residual network',
      { batch: 16, size: [8, 8], channels: [16, 32], kernel: [3, 3], strides: [2, 2], pad: 'same' },
    ],
    ['its shortcut', { batch: 2, size: [8, 8], channels: [16, 32], kernel: [1, 1], strides: [2, 2], pad: 'same' }],
    [
      'more images than a block, and no multiple',
      { batch: 31, size: [4, 4], channels: [16, 16], kernel: [3, 3], strides: [1, 1], pad: 'same' },
    ],
    [
      'one image more than two blocks',
      { batch: 33, size: [4, 3], channels: [3, 8], kernel: [3, 3], strides: [1, 1], pad: [1, 0, 0, 2] },
    ],
    [
      'a stride that skips rows of the kernel',
      { batch: 1, size: [7, 9], channels: [2, 3], kernel: [1, 2], strides: [3, 2], pad: 'valid' },
    ],
  ];
  test.each(layers)('%s', (_, shape) => check(shape));

  test('of random shapes', async () => {
    const pairOf = (least: number, most: number) =>
      fc.tuple(fc.integer({ min: least, max: most }), fc.integer({ min: least, max: most }));
    const cases = fc.record({
      batch: fc.constantFrom(1, 2, 5, 16, 17),
      size: pairOf(5, 9),
      channels: fc.tuple(fc.constantFrom(1, 3, 8, 16), fc.constantFrom(1, 5, 16, 32)),
      kernel: pairOf(1, 5),
      strides: pairOf(1, 3),
      pad: fc.oneof(
        fc.constantFrom('same' as const, 'valid' as const),
        fc.tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 0, max: 2 }))) as fc.Arbitrary<
          [number, number, number, number]
        >,
      ),
    });
    await fc.assert(fc.asyncProperty(cases, check), { numRuns: 25, seed: 20, endOnFailure: true });
  });
});
