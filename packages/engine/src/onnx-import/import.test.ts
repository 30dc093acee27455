import { readdirSync, readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { valueAndGrad } from '../autodiff.ts';
import { createEngine, type Engine } from '../engine.ts';
import type { Node } from '../graph.ts';
import { layerNames } from '../layers-model/layers.ts';
import { type NdArray, specOf, type TensorSpec, type Tree } from '../ndarray.ts';
import { readSafetensors } from '../safetensors.ts';
import { relativeError } from '../testing.ts';
import { traceFunction } from '../trace-function.ts';
import { importOnnx } from './import.ts';
import { onnxOperators } from './operators/table.ts';

// Files that other people's tools exported, with what those tools compute: see golden/make.py. A new case is a folder.
const FOLDER = new URL('../../golden/onnx/', import.meta.url);

interface Golden {
  readonly model: Uint8Array;
  /** Arrays by their kind: `input/NAME`, `output/NAME`, `cotangent/NAME`, `gradient/NAME`, `parameter/NAME`. */
  readonly arrays: (kind: string) => Record<string, NdArray>;
}

function readGolden(name: string): Golden {
  const { tensors } = readSafetensors(readFileSync(new URL(`${name}/expected.safetensors`, FOLDER)));
  return {
    model: readFileSync(new URL(`${name}/model.onnx`, FOLDER)),
    arrays: (kind) =>
      Object.fromEntries(
        Object.entries(tensors).flatMap(([key, array]) =>
          key.startsWith(`${kind}/`) ? [[key.slice(kind.length + 1), array as NdArray]] : [],
        ),
      ),
  };
}

type Tensors = Readonly<Record<string, tf.Tensor>>;
type Inputs = { readonly parameters: Tensors; readonly inputs: Tensors; readonly cotangents: Tensors };
type Outputs = {
  readonly outputs: Record<string, NdArray>;
  readonly inputs: Record<string, NdArray>;
  readonly parameters: Record<string, NdArray>;
};

const specs = (arrays: Readonly<Record<string, NdArray>>) =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, specOf(array)]));

/** The outputs, and the gradients of their weighted sum by inputs and weights. */
async function runGolden(engine: Engine, { model, arrays }: Golden): Promise<Outputs> {
  const imported = await importOnnx(model);
  const given = { parameters: imported.parameters, inputs: arrays('input'), cotangents: arrays('cotangent') };
  const step = ({ parameters, inputs, cotangents }: Inputs) => {
    let outputs: Tensors = {};
    const { gradient } = valueAndGrad(
      (variables: Tree<tf.Tensor>) => {
        const { x, w } = variables as unknown as { x: Tensors; w: Tensors };
        outputs = imported.forward(w, x);
        return Object.entries(cotangents)
          .map(([name, cotangent]) => tf.sum(tf.mul(cotangent, outputs[name] as tf.Tensor)))
          .reduce((sum, part) => tf.add(sum, part));
      },
      { x: inputs, w: parameters } as unknown as Tree<tf.Tensor>,
    );
    const { x, w } = gradient as unknown as { x: Tensors; w: Tensors };
    return { outputs, inputs: x, parameters: w };
  };
  const compiled = await engine.compile(step as never, {
    parameters: specs(given.parameters),
    inputs: specs(given.inputs),
    cotangents: specs(given.cotangents),
  });
  return (await compiled.run(given as never)) as unknown as Outputs;
}

describe.each(['onnx', 'reference'] as const)('models of other tools on the %s engine', (name) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ engine: name, threads: 1 });
  });
  afterAll(() => engine.dispose());

  it.each(readdirSync(FOLDER).filter((entry) => !entry.startsWith('.')))(
    '%s: outputs and gradients are theirs',
    async (folder) => {
      const golden = readGolden(folder);
      const { outputs, inputs, parameters } = await runGolden(engine, golden);
      const compare = (kind: string, found: Record<string, NdArray>, tolerance: number) => {
        for (const [key, expected] of Object.entries(golden.arrays(kind))) {
          expect(found[key]?.shape, `${kind} ${key}`).toEqual(expected.shape);
          expect(relativeError(found[key] as NdArray, expected), `${kind} ${key}`).toBeLessThan(tolerance);
        }
      };
      expect(Object.keys(golden.arrays('output')).length).toBeGreaterThan(0);
      compare('output', outputs, 1e-5);
      compare('gradient', inputs, 1e-4);
      compare('parameter', parameters, 1e-4);
    },
  );
});

describe('layouts', () => {
  // what is transposed besides weights: the images once on the way in (PyTorch's are [N, C, H, W]), once before they are flattened
  it.each([
    ['torch-resnet-unfolded-17', 2],
    ['keras-cnn-17', 0],
  ])('%s keeps its images in one order: %i transpositions', async (folder, expected) => {
    const { model, arrays } = readGolden(folder);
    const { parameters, forward } = await importOnnx(model);
    const { graph } = traceFunction(
      (given: never) => forward((given as Inputs).parameters, (given as Inputs).inputs),
      { parameters: specs(parameters), inputs: specs(arrays('input')) } as Tree<TensorSpec>,
      'imported',
    );
    const isWeight = (node: Node): boolean =>
      node.kernel === 'Input'
        ? String(node.attributes.name).startsWith('parameters.')
        : node.inputs.length > 0 && node.inputs.every(isWeight);
    const transposed = graph.nodes.filter((node) => node.kernel === 'Transpose' && !isWeight(node));
    expect(transposed).toHaveLength(expected);
  });
});

describe('importOnnx', () => {
  it('says what a model is', async () => {
    const { producer, irVersion, opset, inputs, outputs, operators, parameters } = await importOnnx(
      readGolden('torch-plain-11').model,
    );
    expect({ producer, irVersion, opset, inputs, outputs }).toEqual({
      producer: 'pytorch 2.15.0',
      irVersion: 6,
      opset: 11,
      inputs: [{ name: 'images', dtype: 'float32', shape: ['batch', 1, 16, 16] }],
      outputs: ['logits'],
    });
    expect(operators).toEqual(['Conv', 'Flatten', 'Gemm', 'MaxPool', 'Relu', 'Sigmoid', 'Softmax']);
    expect(Object.keys(parameters).toSorted()).toEqual(
      ['net.0', 'net.5', 'net.7'].flatMap((layer) => [`${layer}.bias`, `${layer}.weight`]),
    );
  });

  it('takes any value of the model as its output, and the scores of scikit-learn by default', async () => {
    const { model } = readGolden('sklearn-mlp-17');
    expect((await importOnnx(model)).outputs).toEqual(['probabilities']);
    const { operators } = await importOnnx(model, { outputs: ['add_result'] });
    expect(operators).not.toContain('Softmax');
    await expect(importOnnx(model, { outputs: ['logits'] })).rejects.toThrow(
      "the model has no value 'logits'; its outputs are label, probabilities",
    );
  });

  it('lists the operators that it knows', () => {
    const { 'ai.onnx': standard = [], 'ai.onnx.ml': classical } = onnxOperators();
    expect(standard.length).toBeGreaterThan(110);
    expect(standard).toEqual(expect.arrayContaining(['Conv', 'If', 'LayerNormalization', 'Resize']));
    expect(classical).toEqual(['LinearClassifier', 'LinearRegressor', 'Normalizer', 'Scaler', 'ZipMap']);
  });

  it('and the documentation lists them, with the layers', () => {
    const text = readFileSync(new URL('../../../../docs/imported-models.md', import.meta.url), 'utf8');
    for (const list of [...Object.values(onnxOperators()), layerNames()]) expect(text).toContain(list.join(', '));
  });
});
