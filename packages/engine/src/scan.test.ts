import * as tf from '@tensorflow/tfjs-core';
import { afterAll, expect, test } from 'vitest';
import { valueAndGrad } from './autodiff.ts';
import type { Compiled } from './compiled.ts';
import { createEngine } from './engine.ts';
import { float32, type NdArray, scalar, spec, type Tree } from './ndarray.ts';
import { draw } from './testing.ts';

const engines = await Promise.all([
  createEngine({ engine: 'onnx' }),
  createEngine({ engine: 'onnx', blockSize: 1 }),
  createEngine({ engine: 'reference' }),
]);
afterAll(async () => {
  await Promise.all(engines.map((engine) => engine.dispose()));
});

type Step = Readonly<Record<string, tf.Tensor>> & {
  readonly state: Readonly<Record<'filter' | 'bias' | 'idle', tf.Tensor>>;
};

/** Gradient descent of a small network; `idle` goes through it unchanged, `unused` enters nothing. */
const train = (tree: Tree<tf.Tensor>): Tree<tf.Tensor> => {
  const { state, images, rate } = tree as unknown as Step;
  const { value, gradient } = valueAndGrad(
    ({ filter, bias }: Record<'filter' | 'bias', tf.Tensor>) =>
      tf.mean(tf.square(tf.relu(tf.add(tf.conv2d(images as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same'), bias)))),
    { filter: state.filter, bias: state.bias },
  );
  const moved = (name: 'filter' | 'bias') => tf.sub(state[name], tf.mul(rate as tf.Tensor, gradient[name]));
  return { state: { filter: moved('filter'), bias: moved('bias'), idle: state.idle }, report: { loss: value } };
};
const specs = {
  state: { filter: spec(3, 3, 3, 8), bias: spec(8), idle: spec(2) },
  images: spec(4, 6, 6, 3),
  rate: spec(),
  unused: spec(3),
};
const state = { filter: draw('filter', [3, 3, 3, 8]), bias: draw('bias', [8]), idle: float32([1, 2], [2]) };
const unused = float32([0, 0, 0], [3]);
const own = (step: number) => ({ images: draw(`images ${step}`, [4, 6, 6, 3]), rate: scalar(0.1 * step) });
const compiledOn = async (engine: (typeof engines)[number]) =>
  (await engine.compile(train as never, specs as never, { name: 'train' })) as unknown as Compiled;

test.each(engines)('a scan gives the bits of as many runs (engine %#)', async (engine) => {
  const compiled = await compiledOn(engine);
  for (const steps of [5, 1, 2]) {
    let last: Tree<NdArray> = state;
    const losses: unknown[] = [];
    for (let step = 1; step <= steps; step++) {
      const outputs = (await compiled.run({ state: last, ...own(step), unused })) as Record<string, Tree<NdArray>>;
      last = outputs.state as Tree<NdArray>;
      losses.push({ report: outputs.report });
    }
    const each = Array.from({ length: steps }, (_, i) => own(i + 1));
    const scanned = await compiled.scan({ carried: { state }, each, fixed: { unused } });
    expect(scanned.carried).toEqual({ state: last });
    expect(scanned.each).toEqual(losses);
  }
});

test('steps without inputs of their own run as well', async () => {
  for (const engine of engines) {
    const compiled = await compiledOn(engine);
    const fixed = { ...own(1), unused };
    const scanned = await compiled.scan({ carried: { state }, each: [{}, {}], fixed });
    const other = await compiled.scan({ carried: { state }, each: [own(1), own(1)], fixed: { unused } });
    expect(scanned).toEqual(other);
  }
});

test('what cannot be scanned is refused, with its name', async () => {
  const engine = engines[0];
  const compiled = await compiledOn(engine);
  await expect(compiled.scan({ carried: { state }, each: [], fixed: { unused } })).rejects.toThrow(
    "'train' was given no step to scan",
  );
  await expect(compiled.scan({ carried: { state, unused }, each: [own(1)] })).rejects.toThrow(
    "'train' cannot carry 'unused', float32[3]: as an output it is not there",
  );
  await expect(compiled.scan({ carried: { state }, each: [{ ...own(1), unused }], fixed: { unused } })).rejects.toThrow(
    "'train' is given 'unused' in two roles of a scan",
  );
  await expect(compiled.scan({ carried: { state }, each: [own(1), { unused }], fixed: {} })).rejects.toThrow(
    "'train' lacks its input 'unused'",
  );
  const grown = (tree: Tree<tf.Tensor>) => {
    const { x } = tree as Record<string, tf.Tensor>;
    return { x: tf.concat([x as tf.Tensor1D, x as tf.Tensor1D]) };
  };
  const growing = (await engine.compile(grown as never, { x: spec(2), i: spec() } as never, {
    name: 'grow',
  })) as unknown as Compiled;
  await expect(growing.scan({ carried: { x: unused }, each: [{ i: scalar(0) }] })).rejects.toThrow(
    "'grow' wants float32[2] as 'x'",
  );
  await expect(growing.scan({ carried: { x: float32([1, 2], [2]) }, each: [{ i: scalar(0) }] })).rejects.toThrow(
    "'grow' cannot carry 'x', float32[2]: as an output it is float32[4]",
  );
});
