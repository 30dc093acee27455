import { readdirSync, readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { grad } from '../autodiff.ts';
import { createEngine, type Engine } from '../engine.ts';
import { EngineError } from '../errors.ts';
import type { Tensors } from '../imported.ts';
import { float32, type NdArray, specOf, type TensorSpec, type Tree, zeros } from '../ndarray.ts';
import { uniform } from '../random.ts';
import { runCompiled } from '../run-compiled.ts';
import { withSoftplus } from '../smoothing.ts';
import { relativeError } from '../testing.ts';
import { traceFunction } from '../trace-function.ts';
import { importLayersModel } from './import.ts';

// Models that TensorFlow.js saved, with what it computes for them: see golden/make-layers.mjs. A new case is a folder.
const FOLDER = new URL('../../golden/layers/', import.meta.url);

function readGolden(name: string) {
  const read = (file: string) => readFileSync(new URL(`${name}/${file}`, FOLDER));
  const { input, output, cotangent, gradient } = JSON.parse(read('expected.json').toString()) as Record<
    string,
    { shape: number[]; data: number[] }
  >;
  const array = (entry: { shape: number[]; data: number[] } | undefined) =>
    float32(entry?.data ?? [], entry?.shape ?? []);
  return {
    json: read('model.json'),
    files: { 'weights.bin': new Uint8Array(read('weights.bin')) },
    input: array(input),
    output: array(output),
    ...(gradient && { cotangent: array(cotangent), gradient: array(gradient) }),
  };
}

const specs = (arrays: Readonly<Record<string, NdArray>>) =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, specOf(array)]));

describe('LayersModels that TensorFlow.js saved', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1 });
  });
  afterAll(() => engine.dispose());

  it.each(readdirSync(FOLDER))('%s: output and input gradient are its own', async (name) => {
    const golden = readGolden(name);
    const { output: expected, cotangent = zeros(expected.shape) } = golden;
    const model = importLayersModel(golden.json, golden.files);
    const [input = '', output = ''] = [model.inputs[0]?.name, model.outputs[0]];
    expect(model.inputs[0]?.shape).toEqual(['', ...golden.input.shape.slice(1)]);
    const step = ({ parameters, x, weights }: { parameters: Tensors; x: tf.Tensor; weights: tf.Tensor }) => {
      const forward = (images: tf.Tensor) => model.forward(parameters, { [input]: images })[output] as tf.Tensor;
      return { y: forward(x), gradient: grad((images) => tf.sum(tf.mul(weights, forward(images))))(x) };
    };
    const given = { parameters: model.parameters, x: golden.input, weights: cotangent };
    const compiled = await engine.compile(step as never, {
      parameters: specs(model.parameters),
      x: specOf(golden.input),
      weights: specOf(cotangent),
    });
    const { y, gradient } = (await compiled.run(given as never)) as unknown as { y: NdArray; gradient: NdArray };
    expect(relativeError(y, expected)).toBeLessThan(1e-5);
    if (golden.gradient) expect(relativeError(gradient, golden.gradient)).toBeLessThan(1e-4);
  });
});

type Json = Record<string, unknown>;

type LayerJson = readonly [className: string, config: Json];
type Weights = Readonly<Record<string, NdArray>>;

/** A Sequential model of images [1, 3, 1] as TensorFlow.js writes it, or as Keras does, and its weight file. */
function sequentialOf(layers: readonly LayerJson[], { weights = {}, backend = 'tensor_flow.js' as string } = {}) {
  const entries = layers.map(([class_name, config], i) => ({
    class_name,
    config: { name: `layer${i}`, trainable: true, batch_input_shape: [null, 1, 3, 1], ...config },
  }));
  const model = { class_name: 'Sequential', config: { layers: entries } };
  const modelTopology = backend === 'tensor_flow.js' ? { ...model, backend } : { model_config: model, backend };
  const arrays = Object.entries(weights as Weights);
  const manifest = arrays.map(([name, { shape }]) => ({ name, shape, dtype: 'float32' }));
  const bytes = Buffer.concat(arrays.map(([, { data }]) => new Uint8Array(data.buffer)));
  return {
    json: JSON.stringify({ modelTopology, weightsManifest: [{ paths: ['weights.bin'], weights: manifest }] }),
    files: { 'weights.bin': new Uint8Array(bytes) },
  };
}

describe('single layers', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1 });
  });
  afterAll(() => engine.dispose());

  const x = float32([-1, 0, 2], [1, 1, 3, 1]);

  async function run({ json, files }: ReturnType<typeof sequentialOf>, around = (body: () => tf.Tensor) => body()) {
    const { parameters, inputs, outputs, forward } = importLayersModel(json, files);
    const [input = '', output = ''] = [inputs[0]?.name, outputs[0]];
    const traced = ({ weights, images }: { weights: Tensors; images: tf.Tensor }) => {
      const f = (given: tf.Tensor) => around(() => forward(weights, { [input]: given })[output] as tf.Tensor);
      return { y: f(images), slopes: grad((given) => tf.sum(f(given)))(images) };
    };
    const { y, slopes } = await runCompiled(engine, 'layer', traced, { weights: parameters, images: x });
    return { y: [...y.data], slopes: [...slopes.data] };
  }

  // slopes at 0: elu and prelu count it among the negative numbers, a ReLU with a limit is a ReLU
  it.each<[string, Json, number[], number[], Weights?]>([
    ['ELU', { alpha: 1 }, [1 / Math.E - 1, 0, 2], [1 / Math.E, 1, 1]],
    ['ReLU', { max_value: 6 }, [0, 0, 2], [0, 0, 1]],
    ['PReLU', {}, [-0.25, 0, 2], [0.25, 0.25, 1], { 'layer0/alpha': float32([0.25], [1]) }],
  ])(
    '%s has the slopes of TensorFlow.js, and withSoftplus leaves it alone',
    async (name, config, y, slopes, weights) => {
      const model = sequentialOf([[name, config]], { weights: weights ?? {} });
      const found = await run(model);
      for (const [i, value] of y.entries()) expect(found.y[i]).toBeCloseTo(value, 6);
      for (const [i, slope] of slopes.entries()) expect(found.slopes[i]).toBeCloseTo(slope, 6);
      expect((await run(model, (body) => withSoftplus(2, body))).y).toEqual(found.y);
    },
  );

  // places -1/4, 1/4, 3/4, ... of [-1, 0, 2] for Keras, whose tf.image.resize counts from the centres of pixels; 0, 1/2, 1, ... for TensorFlow.js
  it.each([
    ['tensor_flow.js', [-1, -0.5, 0, 1, 2, 2]],
    ['tensorflow', [-1, -0.75, -0.25, 0.5, 1.5, 2]],
  ])('UpSampling2D interpolates as the library does that wrote the model: %s', async (backend, expected) => {
    const layer: LayerJson = ['UpSampling2D', { size: [1, 2], interpolation: 'bilinear' }];
    const { y } = await run(sequentialOf([layer], { backend }));
    for (const [i, value] of expected.entries()) expect(y[i]).toBeCloseTo(value, 6);
  });

  const head: LayerJson = ['Dense', { name: 'head', use_bias: false }];
  const factor = (value: number) => float32([value], [1, 1]);

  it.each<[string, Weights]>([
    ['by its own name, whatever else ends so', { 'stem/head/kernel': factor(3), 'head/kernel': factor(2) }],
    ['by the only name that ends so', { 'model/head/kernel': factor(2), 'model/forehead/kernel': factor(3) }],
  ])('a weight is found %s', async (_, weights) => {
    expect((await run(sequentialOf([head], { weights }))).y).toEqual([-2, 0, 4]);
  });

  it('a weight that may be any of several is an error that names them', async () => {
    const weights = { 'a/head/kernel': factor(1), 'b/head/kernel': factor(2) };
    await expect(run(sequentialOf([head], { weights }))).rejects.toMatchObject({
      reason: 'MALFORMED_FILE',
      message: expect.stringContaining(
        "the weight head/kernel of layer 'head' (Dense) may be any of a/head/kernel, b/head/kernel",
      ),
    });
  });
});

function use(json: Uint8Array | string, files: Record<string, Uint8Array>): void {
  const { parameters, inputs, forward } = importLayersModel(json, files);
  const size = (dimension: number | string) => (typeof dimension === 'number' ? Math.min(dimension, 64) : 2);
  const given = {
    parameters: specs(parameters),
    inputs: Object.fromEntries(inputs.map(({ name, shape, dtype }) => [name, { shape: shape.map(size), dtype }])),
  } as unknown as Tree<TensorSpec>;
  type Inputs = { parameters: Tensors; inputs: Tensors };
  traceFunction(
    (tensors: never) => forward((tensors as Inputs).parameters, (tensors as Inputs).inputs),
    given,
    'imported',
  );
}

describe('a malformed LayersModel', () => {
  const { json, files } = readGolden('sequential');

  it.each<[string, (model: Json) => unknown, string]>([
    ['without weights', ({ weightsManifest: _, ...rest }) => rest, 'weightsManifest is missing where a list belongs'],
    [
      'of another kind',
      (model) => ({ ...model, modelTopology: { class_name: 'Sequoia', config: [] } }),
      'the model is a Sequoia',
    ],
    [
      'without layers',
      (model) => ({ ...model, modelTopology: { class_name: 'Sequential', config: [] } }),
      'the model has no layers',
    ],
    [
      'with an unknown layer',
      (model) => ({
        ...model,
        modelTopology: { class_name: 'Sequential', config: [{ class_name: 'LSTM', config: { name: 'memory' } }] },
      }),
      "layer 'memory' is a LSTM, which is not supported",
    ],
    ['that is a list', () => [], 'model.json is a list where a record belongs'],
  ])('%s is an error that says so', (_, change, message) => {
    const changed = JSON.stringify(change(JSON.parse(json.toString()) as Json));
    expect(() => use(changed, files)).toThrow(EngineError);
    expect(() => use(changed, files)).toThrow(message);
  });

  it('with files missing or cut off is an error that names them', () => {
    expect(() => use(json, {})).toThrow("the weight file 'weights.bin' is missing; there are none");
    expect(() => use(json, { 'weights.bin': files['weights.bin'].subarray(0, 100) })).toThrow(
      /needs \d+ bytes; \d+ are left/,
    );
    expect(() => use(json.subarray(0, 500), files)).toThrow('model.json is not JSON in UTF-8 (truncated?)');
  });

  it('with bytes changed anywhere neither crashes nor hangs', () => {
    for (const place of uniform({ seed: 3, stream: 'flip' }, 300)) {
      const changed = Uint8Array.from(json);
      const at = Math.floor(place * changed.length);
      changed[at] = (changed[at] ?? 0) ^ (1 << (Math.floor(place * 8e6) % 7));
      try {
        use(changed, files);
      } catch (error) {
        expect(error).toBeInstanceOf(EngineError);
      }
    }
  });
});
