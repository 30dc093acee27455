import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { grad } from './autodiff.ts';
import { createEngine, describeEngine, type Engine, type EngineOptions } from './engine.ts';
import { explainGraph } from './explain.ts';
import { flopsOf } from './flops.ts';
import { float32, int32, type NdArray, scalar, spec, specOf, type Tree } from './ndarray.ts';
import { isTracing } from './trace.ts';
import { verifyGraph } from './verify.ts';

const engines: Engine[] = [];
async function make(options: EngineOptions = {}): Promise<Engine> {
  const engine = await createEngine({ threads: 1, ...options });
  engines.push(engine);
  return engine;
}
afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.dispose()));
});
beforeAll(() => tf.setBackend('cpu'));

const double = ({ x }: { x: tf.Tensor }) => ({ y: tf.mul(x, 2) });

describe('tracing', () => {
  test('leaves the backend as it was and no tensors behind, also when the function throws', async () => {
    const engine = await make();
    const before = tf.memory().numTensors;
    await engine.compile(double, { x: spec(2) });
    const broken = () => {
      tf.ones([3]);
      throw new Error('broken on purpose');
    };
    await expect(engine.compile(broken, { x: spec(1) })).rejects.toThrow('broken on purpose');
    expect(tf.getBackend()).toBe('cpu');
    expect(tf.memory().numTensors).toBe(before);
    expect(isTracing()).toBe(false);
    expect(tf.add(1, 2).dataSync()[0]).toBe(3);
  });

  test('equal nodes are one node, dead ones vanish, neutral operations too', async () => {
    const engine = await make();
    const f = (x: tf.Tensor) => {
      tf.exp(x);
      const a = tf.add(tf.mul(tf.tanh(x), 1), 0);
      const b = tf.sub(tf.div(tf.tanh(tf.reshape(x, [2, 3])), tf.ones([2, 3])), tf.zeros([3]));
      return tf.mul(tf.add(a, b), tf.add(tf.mul(x, 0), tf.square(tf.fill([2, 1], 3))));
    };
    const { graph } = await engine.compile(f, spec(2, 3));
    expect(graph.nodes.map(({ kernel }) => kernel)).toEqual(['Input', 'Tanh', 'Add', 'Fill', 'Multiply']);
    verifyGraph(graph);
  });

  test('a graph explains itself', async () => {
    const engine = await make();
    const { graph } = await engine.compile(double, { x: spec(2, 3) }, { name: 'twice' });
    expect(explainGraph(graph)).toBe(
      [
        'twice: 3 nodes, 6 FLOP, 52 B',
        '%0  Input     float32[2,3]                 24 B  name="x"',
        '%1  Fill      float32[]                     4 B  value=2',
        '%2  Multiply  float32[2,3]  %0 %1  6 FLOP  24 B  -> y',
      ].join('\n'),
    );
  });

  test('floating-point operations: two for each tap of a convolution and each product of a matrix', async () => {
    const engine = await make();
    const f = ({ x, w, u }: { x: tf.Tensor; w: tf.Tensor; u: tf.Tensor }) =>
      grad((image: tf.Tensor) => {
        const hidden = tf.relu(tf.conv2d(image as tf.Tensor4D, w as tf.Tensor4D, 2, 'same'));
        return tf.sum(tf.square(tf.matMul(tf.reshape(hidden, [2, 64]), u)));
      })(x);
    const { graph } = await engine.compile(f, { x: spec(2, 8, 8, 3), w: spec(3, 3, 3, 4), u: spec(64, 5) });
    const flops = (kernel: string) => graph.nodes.filter((node) => node.kernel === kernel).map(flopsOf);
    expect(flops('Conv2D')).toEqual([2 * (2 * 4 * 4 * 4) * (3 * 3 * 3)]);
    expect(flops('Conv2DBackpropInput')).toEqual(flops('Conv2D'));
    expect(flops('BatchMatMul')).toEqual([2 * 2 * 64 * 5, 2 * 2 * 5 * 64]);
    expect(flops('Relu')).toEqual([128]);
    expect(flops('Reshape')).toEqual([0, 0]);
  });

  const mistakes: readonly [string, (x: tf.Tensor) => unknown, RegExp][] = [
    ['reading a value', (x) => tf.mul(x, x.dataSync()[0] ?? 0), /'f' reads the value of a tensor/],
    [
      'an operation without a row',
      (x) => tf.cumprod(x),
      /no row for the TensorFlow.js kernel Cumprod \(used by 'f'\).*src\/operations/,
    ],
    ['a tensor made outside', (x) => tf.add(x, outside()), /'f' uses a tensor of shape \[1\] that was made outside/],
    ['a promise', async (x) => tf.square(x), /'f' gave a promise/],
    ['no outputs', () => ({}), /has no outputs/],
    ['an output that is no tensor', () => ({ y: 3 }), /'f': output 'y' is number/],
    [
      'shapes that do not fit',
      (x) => tf.matMul(tf.reshape(x, [2, 2]), tf.ones([3, 2])),
      /matMul|Error in matMul|3 rows/,
    ],
    ['shapes that do not broadcast', (x) => tf.add(x, tf.ones([3])), /do not broadcast/],
    [
      'parts that do not lie beside each other',
      (x) => tf.concat([tf.reshape(x, [2, 2]), tf.ones([2, 3])]),
      /\[2,2\] and \[2,3\] cannot be joined along axis 0/,
    ],
    ['a huge constant', (x) => tf.add(x, tf.range(0, 2 ** 21)), /the limit is 1048576/],
  ];
  function outside(): tf.Tensor {
    return kept;
  }
  const kept = tf.tensor1d([1]);

  test.each(mistakes)('%s is an error', async (_, f, message) => {
    const engine = await make();
    const wrong = f as (x: tf.Tensor) => tf.Tensor;
    await expect(engine.compile(wrong, spec(4), { name: 'f' })).rejects.toThrow(message);
  });

  test('a tensor of another trace is an error', async () => {
    const engine = await make();
    let stolen: tf.Tensor | undefined;
    const thief = (x: tf.Tensor) => {
      stolen = tf.keep(tf.square(x));
      return stolen;
    };
    await engine.compile(thief, spec(1));
    await expect(engine.compile((x: tf.Tensor) => tf.add(x, stolen ?? x), spec(1))).rejects.toThrow(/made outside it/);
    stolen?.dispose();
  });

  test('a function may compile another one while it is traced', async () => {
    const engine = await make();
    let inner: Promise<unknown> | undefined;
    const outer = await engine.compile((x: tf.Tensor) => {
      inner = engine.compile(double, { x: spec(1) });
      return tf.square(x);
    }, spec(1));
    await inner;
    expect([...(await outer.run(scalarLike(3))).data]).toEqual([9]);
  });
});

const scalarLike = (value: number): NdArray => float32([value], [1]);

describe('running', () => {
  test('a function returns arrays in the form of its result', async () => {
    const engine = await make();
    const f = ({ a, b }: { a: tf.Tensor; b: { c: tf.Tensor } }) => ({
      sum: tf.add(a, b.c),
      parts: { greater: tf.greater(a, b.c), at: tf.argMax(a) },
    });
    const compiled = await engine.compile(f, { a: spec(3), b: { c: spec(3) } });
    const { sum, parts } = await compiled.run({ a: float32([1, 5, 3], [3]), b: { c: float32([2, 2, 2], [3]) } });
    expect(sum).toEqual(float32([3, 7, 5], [3]));
    expect(parts.greater).toEqual({ dtype: 'bool', shape: [3], data: Uint8Array.from([0, 1, 1]) });
    expect(parts.at).toEqual(int32([1], []));
  });

  test('outputs may be inputs, constants, or one value twice; names may be any text', async () => {
    const engine = await make();
    const f = (inputs: Record<string, tf.Tensor>) => {
      const x = inputs['a.b/ weight'] as tf.Tensor;
      return { x, same: x, constant: tf.tensor1d([1, 2]), fill: tf.ones([2]), 'odd name': tf.neg(x), again: tf.neg(x) };
    };
    const compiled = await engine.compile(f, { 'a.b/ weight': spec(2), unused: spec(7) });
    const out = await compiled.run({ 'a.b/ weight': float32([3, 4], [2]), unused: float32(new Float32Array(7), [7]) });
    expect(Object.fromEntries(Object.entries(out).map(([name, { data }]) => [name, [...data]]))).toEqual({
      x: [3, 4],
      same: [3, 4],
      constant: [1, 2],
      fill: [1, 1],
      'odd name': [-3, -4],
      again: [-3, -4],
    });
  });

  test('outputs are inputs of the next run', async () => {
    const engine = await make();
    const compiled = await engine.compile(double, { x: spec(2) });
    let x = float32([1, 3], [2]);
    for (let i = 0; i < 5; i++) x = (await compiled.run({ x })).y;
    expect([...x.data]).toEqual([32, 96]);
  });

  test('an input may be a view into a larger buffer', async () => {
    const engine = await make();
    const compiled = await engine.compile(double, { x: spec(2) });
    const view = Float32Array.from([1, 2, 3, 4]).subarray(1, 3);
    expect([...(await compiled.run({ x: float32(view, [2]) })).y.data]).toEqual([4, 6]);
  });

  const wrongInputs: readonly [string, unknown, RegExp][] = [
    ['missing', {}, /'double' lacks its input 'x', float32\[2\]/],
    ['unknown', { x: float32([1, 2], [2]), z: scalar(1) }, /'double' has no input 'z'; it has x/],
    ['of another shape', { x: float32([1, 2, 3], [3]) }, /wants float32\[2\] as 'x' and was given float32\[3\]/],
    ['of another dtype', { x: int32([1, 2], [2]) }, /wants float32\[2\] as 'x' and was given int32\[2\]/],
    ['not an array', { x: [1, 2] }, /input 'x' is an array, neither a leaf nor a record/],
    [
      'of the wrong array type',
      { x: { dtype: 'float32', shape: [2], data: new Float64Array(2) } },
      /float32 wants a Float32Array/,
    ],
    ['too short', { x: { dtype: 'float32', shape: [2], data: new Float32Array(1) } }, /1 numbers do not fill \[2\]/],
  ];
  test.each(wrongInputs)('an input that is %s is an error', async (_, inputs, message) => {
    const engine = await make();
    const compiled = await engine.compile(double, { x: spec(2) });
    const wrong = compiled.run(inputs as { x: NdArray });
    await expect(wrong).rejects.toThrow(message);
    await expect(wrong).rejects.toMatchObject({ reason: 'INVALID_INPUT' });
  });

  test('numbers that are not finite are found when that is asked for', async () => {
    const compiled = await (await make()).compile(double, { x: spec(2) });
    const x = float32([1, Number.NaN], [2]);
    await expect(compiled.run({ x }, { checkFinite: true })).rejects.toThrow(
      /'double', input 'x': number 1 is NaN, not finite/,
    );
    expect((await compiled.run({ x })).y.data[1]).toBeNaN();
  });

  test('a profile says how long the nodes take', async () => {
    const product = ({ a, b }: { a: tf.Tensor; b: tf.Tensor }) => tf.square(tf.matMul(a, b));
    const specs = { a: spec(128, 128), b: spec(128, 128) };
    const inputs = {
      a: float32(new Float32Array(128 * 128), [128, 128]),
      b: float32(new Float32Array(128 * 128), [128, 128]),
    };
    const compiled = await (await make()).compile(product, specs);
    const milliseconds = await compiled.profile(inputs, 3);
    const kernels = [...milliseconds].map(([node, time]) => [node.kernel, time > 0]);
    expect(kernels).toEqual(
      expect.arrayContaining([
        ['BatchMatMul', true],
        ['Square', true],
      ]),
    );
    const explained = explainGraph(compiled.graph, { milliseconds, top: 2 });
    expect(explained).toMatch(/^product: 4 nodes, 4.21 MFLOP, 262 kB, .* ms$/m);
    expect(explained).toMatch(/^%2 {2}BatchMatMul .* 4.19 MFLOP {2}65.5 kB {2}.* ms/m);
    await expect(compiled.profile(inputs, 0)).rejects.toThrow(/runs is 0/);
    const reference = await (await make({ engine: 'reference' })).compile(product, specs);
    await expect(reference.profile(inputs)).rejects.toMatchObject({ reason: 'UNSUPPORTED_OPERATION' });
  });

  test('a failure of the runtime names the function', async () => {
    const engine = await make();
    const pick = ({ x, i }: { x: tf.Tensor; i: tf.Tensor }) => tf.gather(x, i as tf.Tensor1D);
    const compiled = await engine.compile(pick, { x: spec(3), i: specOf(int32([0], [1])) });
    await expect(compiled.run({ x: float32([1, 2, 3], [3]), i: int32([7], [1]) })).rejects.toMatchObject({
      reason: 'RUNTIME_FAILURE',
      message: expect.stringMatching(/'pick' failed in ONNX Runtime/),
    });
  });
});

describe('the cache', () => {
  test('the same function and specs are compiled once, also at the same time', async () => {
    const engine = await make();
    const [a, b] = await Promise.all([engine.compile(double, { x: spec(2) }), engine.compile(double, { x: spec(2) })]);
    expect(a).toBe(b);
    expect(await engine.compile(double, { x: spec(3) })).not.toBe(a);
    expect(await engine.compile(({ x }: { x: tf.Tensor }) => ({ y: tf.mul(x, 2) }), { x: spec(2) })).not.toBe(a);
  });

  test('different functions can be compiled at the same time', async () => {
    const engine = await make();
    const scale = (factor: number) => (x: tf.Tensor) => tf.mul(x, factor);
    const all = await Promise.all([2, 3, 4, 5].map((factor) => engine.compile(scale(factor), spec(1))));
    const results = await Promise.all(all.map((compiled) => compiled.run(scalarLike(10))));
    expect(results.map((result) => result.data[0])).toEqual([20, 30, 40, 50]);
  });

  test('what was used longest ago is unloaded, and loaded again when it is needed', async () => {
    const engine = await make({ cacheEntries: 2 });
    const scale = (factor: number) => (x: tf.Tensor) => tf.mul(x, factor);
    const functions = [2, 3, 4].map(scale);
    const all = await Promise.all(functions.map((f) => engine.compile(f, spec(1))));
    expect(engine.loaded).toBe(2);
    const results = await Promise.all(all.map((compiled) => compiled.run(scalarLike(10))));
    expect(results.map((result) => result.data[0])).toEqual([20, 30, 40]);
    expect(engine.loaded).toBe(2);
  });

  test('functions that crowd each other out all come to run', async () => {
    const engine = await make({ cacheEntries: 1 });
    const scale = (factor: number) => (x: tf.Tensor) => tf.mul(x, factor);
    const all = await Promise.all([2, 3, 4].map((factor) => engine.compile(scale(factor), spec(1))));
    const crowd = Array.from({ length: 12 }, (_, i) => all[i % 3]?.run(scalarLike(10)));
    const results = await Promise.all(crowd);
    expect(results.map((result) => result?.data[0])).toEqual(crowd.map((_, i) => 10 * (2 + (i % 3))));
    expect(engine.loaded).toBe(1);
  });

  test('the bound on bytes holds too, and never unloads what was just asked for', async () => {
    const engine = await make({ cacheBytes: 1 });
    const compiled = await engine.compile(double, { x: spec(2) });
    await engine.compile(double, { x: spec(3) });
    expect(engine.loaded).toBe(1);
    expect([...(await compiled.run({ x: float32([1, 2], [2]) })).y.data]).toEqual([2, 4]);
  });

  test('after release a function does not run; compiling it again helps', async () => {
    const engine = await make();
    const compiled = await engine.compile(double, { x: spec(1) });
    const running = compiled.run({ x: scalarLike(1) });
    await compiled.release();
    expect([...(await running).y.data]).toEqual([2]);
    await expect(compiled.run({ x: scalarLike(1) })).rejects.toThrow(/'double' was released; compile it again/);
    expect(engine.loaded).toBe(0);
    const again = await engine.compile(double, { x: spec(1) });
    expect([...(await again.run({ x: scalarLike(1) })).y.data]).toEqual([2]);
  });

  test('a disposed engine compiles nothing', async () => {
    const engine = await make();
    const compiled = await engine.compile(double, { x: spec(1) });
    await engine.dispose();
    await expect(compiled.run({ x: scalarLike(1) })).rejects.toMatchObject({ reason: 'RUNTIME_FAILURE' });
    await expect(engine.compile(double, { x: spec(1) })).rejects.toThrow('the engine was disposed');
  });

  test('a function that cannot be traced is not remembered', async () => {
    const engine = await make();
    let isBroken = true;
    const f = (x: tf.Tensor) => {
      if (isBroken) throw new Error('not yet');
      return tf.square(x);
    };
    await expect(engine.compile(f, spec(1))).rejects.toThrow('not yet');
    isBroken = false;
    expect([...(await (await engine.compile(f, spec(1))).run(scalarLike(3))).data]).toEqual([9]);
  });
});

describe('options and specs', () => {
  test('the engine says what its results depend on', async () => {
    const { info } = await make({ threads: 1, blockSize: 1, device: 'cpu' });
    const { reason, ...rest } = info;
    const runtimeVersion = 'onnxruntime-node 1.30.0';
    expect(rest).toEqual({ engine: 'onnx', device: 'cpu', threads: 1, blockSize: 1, runtimeVersion });
    expect(reason).toBe('the default engine, on the device that was asked for');
    expect(describeEngine(info)).toBe(`engine onnx (${runtimeVersion}) on cpu, 1 thread(s), blocks of 1: ${reason}`);
    expect((await make({ engine: 'reference' })).info.runtimeVersion).toBe('tfjs-backend-cpu 4.22.0');
  });

  const wrongOptions: readonly [EngineOptions, RegExp][] = [
    [{ threads: 0 }, /threads is 0; it must be an integer from 1 to 256/],
    [{ threads: 1.5 }, /threads is 1.5/],
    [{ blockSize: 5 }, /blockSize is 5; this processor's kernels know 1 and/],
    [{ cacheEntries: 0 }, /cacheEntries is 0/],
    [{ cacheBytes: -1 }, /cacheBytes is -1/],
    [{ engine: 'cuda' as 'onnx' }, /engine is 'cuda'/],
  ];
  test.each(wrongOptions)('%j is refused', async (options, message) => {
    await expect(createEngine(options)).rejects.toThrow(message);
  });

  const wrongSpecs: readonly [string, unknown, RegExp][] = [
    ['a dimension of zero', { x: spec(0) }, /input 'x': shape \[0\]/],
    ['a broken dimension', { x: spec(1.5) }, /shape \[1.5\]/],
    ['an unknown dtype', { x: { shape: [1], dtype: 'float64' } }, /dtype float64/],
    ['a spec that is none', { x: 3 }, /spec 'x' is number/],
    ['two inputs of one name', { a: { b: spec(1) }, 'a.b': spec(1) }, /two leaves named 'a.b'/],
  ];
  test.each(wrongSpecs)('%s is refused', async (_, specs, message) => {
    const engine = await make();
    const f = () => tf.scalar(1);
    await expect(engine.compile(f, specs as Tree<ReturnType<typeof spec>>)).rejects.toThrow(message);
  });
});
