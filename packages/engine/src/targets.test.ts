import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { valueAndGrad } from './autodiff.ts';
import type { DeviceName, EngineName } from './choice.ts';
import { createEngine, type Engine } from './engine.ts';
import { type NdArray, specOf, type Tree } from './ndarray.ts';
import type { Sample } from './operations/samples.ts';
import { operations } from './operations/table.ts';
import { findAddon } from './tensorflow/addon.ts';
import { draw, drawSource, relativeError } from './testing.ts';

// For every sample of every operation: value, gradient and Hessian-vector product are those of the reference engine, whose own are compared with
// TensorFlow.js and with differences in conformance.test.ts. The engines are those that need more than npm: JSIGR_TEST_TARGETS names them
// (`tensorflow/cpu,onnx/cuda`), and then one that is missing is a failure; otherwise TensorFlow is tested where it is installed.

const asked = process.env.JSIGR_TEST_TARGETS?.split(',');
const targets = asked ?? (findAddon('cpu') ? ['tensorflow/cpu'] : []);
if (targets.length === 0)
  console.warn('the engine tensorflow is NOT tested, since it is not installed: run `npm run setup:tensorflow`');

/** WGSL only promises an absolute error of 2^-11 (WebGPU Shading Language, section 15.7.4.1). */
const INEXACT: Readonly<Record<string, readonly string[]>> = { webgpu: ['Sin', 'Cos'] };
const INEXACT_TOLERANCE = 1e-3;

type Tensors = Readonly<Record<string, tf.Tensor>>;
type Arrays = Readonly<Record<string, NdArray>>;
interface Result {
  readonly value: NdArray;
  readonly gradient?: Arrays;
  readonly curvature?: Arrays;
}

const mapArrays = <T>(arrays: Arrays, change: (array: NdArray, name: string) => T) =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, change(array, name)]));
const only = (arrays: Arrays, wanted: (array: NdArray) => boolean): Arrays =>
  Object.fromEntries(Object.entries(arrays).filter(([, array]) => wanted(array)));

/** The value of a sample, and its derivatives in the given direction as far as it has them. */
function derivativesOf({ call, order = 2 }: Sample, names: readonly string[]) {
  return function derivatives(inputs: {
    x: Tensors;
    fixed: Tensors;
    weights: tf.Tensor;
    direction: Tensors;
  }): Tree<tf.Tensor> {
    const { fixed, weights, direction } = inputs;
    const value = (x: Tensors) => call(...names.map((name) => (x[name] ?? fixed[name]) as tf.Tensor));
    if (order === 0 || Object.keys(inputs.x).length === 0) return { value: value(inputs.x) };
    const scalar = (x: Tensors) => tf.sum(tf.mul(value(x), weights));
    const { gradient } = valueAndGrad(scalar, inputs.x);
    if (order === 1) return { value: value(inputs.x), gradient };
    const slope = (x: Tensors) => {
      const slopes = valueAndGrad(scalar, x).gradient;
      return tf.addN(Object.keys(x).map((name) => tf.sum(tf.mul(slopes[name] ?? 0, direction[name] ?? 0))));
    };
    return { value: value(inputs.x), gradient, curvature: valueAndGrad(slope, inputs.x).gradient };
  };
}

test.skipIf(targets.length === 0)('there is an engine to test: `npm run setup:tensorflow` installs one', () => {
  expect(targets.every((target) => /^[a-z]+\/[a-z]+$/.test(target))).toBe(true);
});

describe.each(targets)('%s agrees with the reference on', (target) => {
  let engines: readonly [Engine, Engine];
  beforeAll(async () => {
    const [engine, device] = target.split('/') as [EngineName, DeviceName];
    const options = { threads: 1, cacheEntries: 4 };
    engines = [
      await createEngine({ engine, device, ...options }),
      await createEngine({ engine: 'reference', ...options }),
    ];
  });
  afterAll(() => Promise.all(engines.map((engine) => engine.dispose())));

  const cases = [...operations].flatMap(([kernel, { samples }]) =>
    samples.map((sample, i) => [kernel, i, sample] as const),
  );

  test.each(cases)('%s, sample %i', async (kernel, i, sample) => {
    const isInexact = INEXACT[target.split('/')[1] ?? '']?.includes(kernel);
    const tolerance = isInexact ? INEXACT_TOLERANCE : (sample.tolerance ?? 1e-5);
    const arrays: Arrays = Object.fromEntries(
      sample.inputs.map((source, j) => [`input${j}`, drawSource(`${kernel}${i}${j}`, source)]),
    );
    const x = only(arrays, ({ dtype }) => dtype === 'float32');
    const shape = await shapeOf(engines[1], sample, arrays);
    const isDifferentiable = shape.dtype === 'float32';
    const inputs = {
      x: isDifferentiable ? x : {},
      fixed: isDifferentiable ? only(arrays, ({ dtype }) => dtype !== 'float32') : arrays,
      weights: draw(`${kernel}${i}weights`, shape.shape),
      direction: mapArrays(isDifferentiable ? x : {}, (array, name) => draw(`${kernel}${i}${name}u`, array.shape)),
    };
    const specs = {
      x: mapArrays(inputs.x, specOf),
      fixed: mapArrays(inputs.fixed, specOf),
      weights: specOf(inputs.weights),
      direction: mapArrays(inputs.direction, specOf),
    };
    const step = derivativesOf(sample, Object.keys(arrays));
    const run = async (engine: Engine) =>
      (await (await engine.compile(step, specs, { name: kernel })).run(inputs)) as unknown as Result;
    const [actual, expected] = [await run(engines[0]), await run(engines[1])];

    expect(actual.value).toMatchObject({ shape: expected.value.shape, dtype: expected.value.dtype });
    expect(relativeError(actual.value, expected.value), 'value').toBeLessThan(tolerance);
    for (const [part, factor] of [
      ['gradient', 1],
      ['curvature', 10],
    ] as const)
      for (const [name, array] of Object.entries(expected[part] ?? {}))
        expect(relativeError(actual[part]?.[name] ?? array, array), `${part} of ${name}`).toBeLessThan(
          factor * tolerance,
        );
    if (isDifferentiable && Object.keys(x).length > 0) expect(Object.keys(actual).length).toBe(1 + (sample.order ?? 2));
  });
});

/** Shape and dtype of a sample's value. */
async function shapeOf(engine: Engine, { call }: Sample, arrays: Arrays) {
  const names = Object.keys(arrays);
  const value = (inputs: Tensors) => call(...names.map((name) => inputs[name] as tf.Tensor));
  const { graph } = await engine.compile(value, mapArrays(arrays, specOf));
  const [output] = graph.outputs;
  if (!output) throw new Error('a sample has no value');
  return output.node;
}
