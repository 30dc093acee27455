import { readdirSync, readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { EngineError } from '../errors.ts';
import { type TensorSpec, type Tree } from '../ndarray.ts';
import { encodeModel } from '../onnx/encode.ts';
import { OnnxGraph } from '../onnx/graph.ts';
import { uniform } from '../random.ts';
import { traceFunction } from '../trace-function.ts';
import { importOnnx } from './import.ts';

const FOLDER = new URL('../../golden/onnx/', import.meta.url);
const read = (name: string) => readFileSync(new URL(`${name}/model.onnx`, FOLDER));
const names = readdirSync(FOLDER).filter((entry) => !entry.startsWith('.'));

/** Reads a model and traces it for a batch of 2: what a file can make the importer do. */
async function use(bytes: Uint8Array): Promise<void> {
  const { parameters, inputs, forward } = await importOnnx(bytes);
  const size = (dimension: number | string) => (typeof dimension === 'number' ? Math.min(dimension, 64) : 2);
  const specs = {
    parameters: Object.fromEntries(
      Object.entries(parameters).map(([name, { shape, dtype }]) => [name, { shape, dtype }]),
    ),
    inputs: Object.fromEntries(inputs.map(({ name, shape, dtype }) => [name, { shape: shape.map(size), dtype }])),
  } as unknown as Tree<TensorSpec>;
  type Inputs = { parameters: Record<string, tf.Tensor>; inputs: Record<string, tf.Tensor> };
  traceFunction((given: never) => forward((given as Inputs).parameters, (given as Inputs).inputs), specs, 'imported');
}

/** The error of a file that is not whole; `undefined` if it can be used nevertheless. */
async function errorOf(bytes: Uint8Array): Promise<unknown> {
  return use(bytes).then(
    () => undefined,
    (error: unknown) => error,
  );
}

interface ModelOptions {
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, number>>;
  /** Further inputs: constants of int64 or float32. */
  readonly constants?: readonly (readonly [values: readonly number[], shape: readonly number[], 'int64' | 'float32'])[];
  readonly shape?: readonly number[];
}

function model(operator: string, { constants = [], shape = [2, 3], ...options }: ModelOptions = {}): Uint8Array {
  const graph = new OnnxGraph(1);
  const x = graph.input('x', shape, 'float32');
  const y = graph.node(operator, [x, ...constants.map((constant) => graph.constant(...constant))], shape, options);
  return encodeModel({
    nodes: graph.nodes,
    inputs: [{ name: 'x', node: x, dtype: 'float32' }],
    outputs: [{ name: 'y', node: y, dtype: 'float32' }],
  });
}

describe('a malformed ONNX file', () => {
  it.each(names)('%s, cut off anywhere, is an error that says so', async (name) => {
    const bytes = read(name);
    const cuts = uniform({ seed: 1, stream: `cut/${name}` }, 20).map((u) => Math.floor(u * bytes.length));
    for (const cut of new Set([0, 1, 2, bytes.length - 1, ...cuts])) {
      const error = await errorOf(bytes.subarray(0, cut));
      if (error !== undefined) expect(error).toBeInstanceOf(EngineError);
      else expect(cut).toBeGreaterThan(bytes.length - 200); // nothing but versions is missing
    }
  });

  it.each(names)('%s with flipped bits neither crashes nor hangs', async (name) => {
    const bytes = read(name);
    const places = uniform({ seed: 2, stream: `flip/${name}` }, 60);
    for (const place of places) {
      const changed = Uint8Array.from(bytes);
      const at = Math.floor(place * bytes.length);
      changed[at] = (changed[at] ?? 0) ^ (1 << (Math.floor(place * 8e6) % 8));
      const error = await errorOf(changed);
      if (error !== undefined) expect(error).toBeInstanceOf(EngineError);
    }
  });

  it.each([
    ['nothing', new Uint8Array(), 'MALFORMED_FILE', 'it holds no graph'],
    ['a picture', Uint8Array.from([0x89, 0x50, 0x4e, 0x47]), 'MALFORMED_FILE', 'not a readable ONNX file: model'],
    [
      'an operator of another domain',
      model('Relu', { domain: 'com.microsoft' }),
      'UNSUPPORTED_OPERATION',
      "com.microsoft.Relu (node 'Relu_1'), domain com.microsoft, operator set 1",
    ],
    [
      'an unknown operator',
      model('Frobnicate'),
      'UNSUPPORTED_OPERATION',
      "Frobnicate (node 'Frobnicate_1'), domain ai.onnx, operator set 20, is not supported",
    ],
    [
      'a quantised model',
      model('DynamicQuantizeLinear'),
      'UNSUPPORTED_OPERATION',
      'its rounding has no useful gradient',
    ],
    [
      'an axis that is not there',
      model('Softmax', { attributes: { axis: 7 } }),
      'SHAPE_MISMATCH',
      "Softmax (node 'Softmax_1'): axis 7 of a value of shape [2,3]",
    ],
    [
      'a place that is not there',
      model('GatherND', { constants: [[[0, 5], [1, 2], 'int64']] }),
      'SHAPE_MISMATCH',
      "GatherND (node 'GatherND_2'): the index 5 is outside an axis of 3",
    ],
    [
      'too few numbers to write',
      model('ScatterND', {
        constants: [
          [[0, 1], [2, 1], 'int64'],
          [[7, 8, 9], [1, 3], 'float32'],
        ],
      }),
      'SHAPE_MISMATCH',
      'updates of shape [1,3] for 2 places of 3',
    ],
    [
      'groups that cannot share what they make',
      model('Conv', {
        shape: [1, 2, 3, 3],
        attributes: { group: 2 },
        constants: [[[1, 1, 1], [3, 1, 1, 1], 'float32']],
      }),
      'SHAPE_MISMATCH',
      '2 groups make 3 channels',
    ],
  ])('%s is an error that names it', async (_, bytes, reason, message) => {
    const error = await errorOf(bytes);
    expect(error).toMatchObject({ name: 'EngineError', reason });
    expect((error as Error).message).toContain(message);
  });
});
