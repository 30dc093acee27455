import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { valueAndGrad } from '../autodiff.ts';
import { createEngine, type Engine } from '../engine.ts';
import { type NdArray, spec } from '../ndarray.ts';
import { runKernel } from '../operations/rules.ts';
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
  readonly groups?: number;
  readonly dilations?: readonly [number, number];
}

type Tensors = { x: tf.Tensor; w: tf.Tensor };

/** Value, gradient, and the gradient of the gradient's norm: uses each convolution kernel as a derivative of each other. */
function stepOf({ strides, pad, groups = 1, dilations = [1, 1] }: Case) {
  const explicit = typeof pad === 'string' ? pad : [[0, 0], pad.slice(0, 2), pad.slice(2), [0, 0]];
  const attributes = { strides, pad: explicit, dilations, groups };
  const energy = ({ x, w }: Tensors) => tf.mean(tf.square(runKernel('Conv2D', { x, filter: w }, attributes)));
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
  const filter = [...shape.kernel, channelsIn / (shape.groups ?? 1), channelsOut];
  const specs = { x: spec(shape.batch, ...shape.size, channelsIn), w: spec(...filter) };
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

  const grouped = { batch: 3, size: [6, 5], kernel: [3, 3], strides: [1, 1], pad: 'same' } as const;
  const inGroups: readonly [string, Case][] = [
    ['depthwise, on whole blocks', { ...grouped, channels: [32, 32], groups: 32 }],
    ['depthwise, with stride', { ...grouped, channels: [16, 16], groups: 16, strides: [2, 2] }],
    ['depthwise, with more padding than kernel', { ...grouped, channels: [16, 16], groups: 16, pad: [3, 0, 4, 1] }],
    ['depthwise, on channels that fill no block', { ...grouped, channels: [20, 20], groups: 20, strides: [2, 1] }],
    ['depthwise, two of each channel', { ...grouped, channels: [8, 16], groups: 8 }],
    ['depthwise, dilated', { ...grouped, channels: [16, 16], groups: 16, dilations: [2, 1] }],
    ['groups of a block', { ...grouped, channels: [32, 64], groups: 2, strides: [2, 2] }],
    ['four groups in a block', { ...grouped, channels: [32, 32], groups: 8 }],
    ['groups that overlap blocks', { ...grouped, channels: [48, 48], groups: 2 }],
    ['a number of groups that fills no block', { ...grouped, channels: [40, 40], groups: 5, strides: [2, 1] }],
    ['groups that fill a block only on one side', { ...grouped, channels: [48, 24], groups: 3 }],
    ['few groups of few channels', { ...grouped, channels: [6, 9], groups: 3, strides: [2, 2] }],
    ['groups that make one channel', { ...grouped, channels: [32, 2], groups: 2 }],
    ['more images than a block, in groups', { ...grouped, batch: 17, channels: [32, 32], groups: 4 }],
    ['as many images as a block lacks, in groups', { ...grouped, batch: 15, channels: [24, 24], groups: 3 }],
  ];
  test.each(inGroups)('%s', (_, shape) => check(shape));

  const pairOf = (least: number, most: number) =>
    fc.tuple(fc.integer({ min: least, max: most }), fc.integer({ min: least, max: most }));
  const geometry = {
    batch: fc.constantFrom(1, 2, 5, 16, 17),
    size: pairOf(5, 9),
    kernel: pairOf(1, 5),
    strides: pairOf(1, 3),
    pad: fc.oneof(
      fc.constantFrom('same' as const, 'valid' as const),
      fc.tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 0, max: 2 }))) as fc.Arbitrary<
        [number, number, number, number]
      >,
    ),
  };
  const channels = fc.tuple(fc.constantFrom(1, 3, 8, 16), fc.constantFrom(1, 5, 16, 32));
  /** Groups, and the channels that each takes and makes: few, since the plain loops take them one by one. */
  const groups = fc
    .tuple(fc.constantFrom(2, 3, 5, 16, 20), fc.constantFrom(1, 1, 2, 4, 8, 16), fc.constantFrom(1, 1, 2, 3, 16))
    .filter(([count, from, to]) => count * Math.max(from, to) <= 32);
  const random: readonly [string, fc.Arbitrary<Case>][] = [
    ['of random shapes', fc.record({ ...geometry, channels })],
    [
      'of random shapes, in groups and dilated',
      fc
        .tuple(fc.record({ ...geometry, batch: fc.constantFrom(1, 3, 17), dilations: pairOf(1, 2) }), groups)
        .map(([shape, [count, from, to]]) => ({
          ...shape,
          groups: count,
          channels: [count * from, count * to] as const,
        }))
        .filter(({ size, kernel, dilations }) =>
          ([0, 1] as const).every((i) => (kernel[i] - 1) * dilations[i] < size[i]),
        ),
    ],
  ];
  test.each(random)('%s', (_, cases) =>
    fc.assert(fc.asyncProperty(cases, check), { numRuns: 25, seed: 20, endOnFailure: true }),
  );
});
