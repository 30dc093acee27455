import { readdirSync, readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { grad } from '../autodiff.ts';
import { createEngine, type Engine } from '../engine.ts';
import { EngineError } from '../errors.ts';
import type { Tensors } from '../imported.ts';
import { float32, type NdArray, specOf, type TensorSpec, type Tree, zeros } from '../ndarray.ts';
import { uniform } from '../random.ts';
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
