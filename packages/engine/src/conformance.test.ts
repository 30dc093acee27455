import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { valueAndGrad } from './autodiff.ts';
import { createEngine, type Engine } from './engine.ts';
import { type NdArray, specOf } from './ndarray.ts';
import type { Sample } from './operations/samples.ts';
import { operations } from './operations/table.ts';
import { axpy, centralDifference, dot, draw, drawSource, relativeError } from './testing.ts';
import { verifyGraph } from './verify.ts';

// For every sample of every operation: the value equals that of TensorFlow.js, computed eagerly; value, gradient and
// Hessian-vector product agree between the engines; the derivatives agree with differences of what they derive.

let onnx: Engine;
let reference: Engine;
beforeAll(async () => {
  onnx = await createEngine({ threads: 1, cacheEntries: 4 });
  reference = await createEngine({ engine: 'reference', cacheEntries: 4 });
});
afterAll(async () => {
  await onnx.dispose();
  await reference.dispose();
});

type Tensors = Readonly<Record<string, tf.Tensor>>;
type Arrays = Readonly<Record<string, NdArray>>;

/** Inputs by name (so that they keep their order): floats are variables, the others fixed. */
const isFloat = (array: NdArray) => array.dtype === 'float32';
const pick = (arrays: Arrays, wanted: (array: NdArray) => boolean): Arrays =>
  Object.fromEntries(Object.entries(arrays).filter(([, array]) => wanted(array)));
const specsOf = (arrays: Arrays) =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, specOf(array)]));
const combine = (a: Arrays, factor: number, b: Arrays): Arrays =>
  Object.fromEntries(Object.entries(a).map(([name, array]) => [name, axpy(array, factor, b[name] ?? array)]));
const sumOver = (a: Tensors, b: Tensors) =>
  tf.addN(Object.entries(a).map(([name, tensor]) => tf.sum(tf.mul(tensor, b[name] ?? tensor))));

function derivativesOf({ call, order = 2 }: Sample, names: readonly string[]) {
  return function derivatives(inputs: { x: Tensors; fixed: Tensors; weights: tf.Tensor; direction: Tensors }) {
    const { fixed, weights, direction } = inputs;
    const scalar = (x: Tensors) =>
      tf.sum(tf.mul(call(...names.map((name) => (x[name] ?? fixed[name]) as tf.Tensor)), weights));
    const first = valueAndGrad(scalar, inputs.x);
    if (order < 2) return first;
    const slope = (x: Tensors) => sumOver(valueAndGrad(scalar, x).gradient, direction);
    return { ...first, curvature: valueAndGrad(slope, inputs.x).gradient };
  };
}

describe.each([...operations])('%s', (kernel, { samples }) => {
  test.each(samples.map((sample, i) => [i, sample] as const))('sample %i', async (i, sample) => {
    const { call, order = 2, tolerance = 1e-5 } = sample;
    const arrays: Arrays = Object.fromEntries(
      sample.inputs.map((source, j) => [`input${j}`, drawSource(`${kernel}${i}${j}`, source)]),
    );
    const names = Object.keys(arrays);
    const value = (inputs: Tensors) => call(...names.map((name) => inputs[name] as tf.Tensor));

    const expected = await eager(() =>
      value(Object.fromEntries(Object.entries(arrays).map(([name, a]) => [name, tensorOf(a)]))),
    );
    for (const engine of [onnx, reference]) {
      const compiled = await engine.compile(value, specsOf(arrays), { name: kernel });
      verifyGraph(compiled.graph);
      const actual = await compiled.run(arrays);
      expect(actual.shape).toEqual(expected.shape);
      expect(actual.dtype).toBe(expected.dtype);
      expect(relativeError(actual, expected), `value on ${engine.info.engine}`).toBeLessThan(tolerance);
    }

    const x = pick(arrays, isFloat);
    if (order === 0 || Object.keys(x).length === 0 || expected.dtype !== 'float32') return;
    const feeds = {
      x,
      fixed: pick(arrays, (array) => !isFloat(array)),
      weights: draw(`${kernel}${i}weights`, expected.shape),
      direction: Object.fromEntries(
        Object.entries(x).map(([name, { shape }]) => [name, draw(`${kernel}${i}${name}u`, shape)]),
      ),
    };
    const specs = {
      x: specsOf(x),
      fixed: specsOf(feeds.fixed),
      weights: specOf(feeds.weights),
      direction: specsOf(feeds.direction),
    };
    const derivatives = derivativesOf(sample, names);
    const compiled = await onnx.compile(derivatives, specs, { name: kernel });
    verifyGraph(compiled.graph);
    type Result = { value: NdArray; gradient: Arrays; curvature?: Arrays };
    const actual = (await compiled.run(feeds)) as Result;
    const other = (await (await reference.compile(derivatives, specs, { name: kernel })).run(feeds)) as Result;
    const at = async (step: number) =>
      (await compiled.run({ ...feeds, x: combine(x, step, feeds.direction) })) as Result;

    const slope = Object.entries(actual.gradient).reduce(
      (sum, [name, g]) => sum + dot(g, feeds.direction[name] ?? g),
      0,
    );
    const slopeByDifferences = await centralDifference(async (step) => (await at(step)).value, 0.02);
    expect(Math.abs(slope - (slopeByDifferences.data[0] ?? Number.NaN)), 'gradient by differences').toBeLessThan(
      2e-3 * Math.max(1, Math.abs(slope)),
    );
    for (const [name, gradient] of Object.entries(actual.gradient)) {
      expect(
        relativeError(gradient, other.gradient[name] ?? gradient),
        `gradient of ${name} on two engines`,
      ).toBeLessThan(tolerance);
      const curvature = actual.curvature?.[name];
      if (!curvature) continue;
      const expectedCurvature = other.curvature?.[name] ?? curvature;
      expect(relativeError(curvature, expectedCurvature), `curvature of ${name} on two engines`).toBeLessThan(
        10 * tolerance,
      );
      const byDifferences = await centralDifference(async (step) => (await at(step)).gradient[name] ?? gradient, 0.02);
      expect(relativeError(curvature, byDifferences, 1), `curvature of ${name} by differences`).toBeLessThan(2e-3);
    }
  });
});

test('every operation has a sample', () => {
  expect([...operations].filter(([, { samples }]) => samples.length === 0).map(([kernel]) => kernel)).toEqual([]);
});

function tensorOf({ data, shape, dtype }: NdArray): tf.Tensor {
  return tf.tensor(data, [...shape], dtype);
}

async function eager(body: () => tf.Tensor): Promise<NdArray> {
  await tf.setBackend('cpu');
  tf.engine().startScope();
  try {
    const result = body();
    return {
      shape: result.shape,
      dtype: result.dtype as NdArray['dtype'],
      data: result.dataSync().slice() as NdArray['data'],
    };
  } finally {
    tf.engine().endScope();
  }
}
