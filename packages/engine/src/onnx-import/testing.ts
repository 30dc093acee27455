// Helpers of the tests; not part of the package.
import * as tf from '@tensorflow/tfjs-core';
import { valueAndGrad } from '../autodiff.ts';
import type { Engine } from '../engine.ts';
import type { Tensors } from '../imported.ts';
import { float32, type NdArray, sizeOf, type Tree } from '../ndarray.ts';
import { encodeModel } from '../onnx/encode.ts';
import { OnnxGraph, type OnnxNode } from '../onnx/graph.ts';
import { uniform } from '../random.ts';
import { runCompiled } from '../run-compiled.ts';
import { importOnnx } from './import.ts';

/** A file of operator set 20 that computes y of x. */
export function fileOf(shape: readonly number[], write: (graph: OnnxGraph, x: OnnxNode) => OnnxNode): Uint8Array {
  const graph = new OnnxGraph(1);
  const x = graph.input('x', shape, 'float32');
  const y = write(graph, x);
  return encodeModel({
    nodes: graph.nodes,
    inputs: [{ name: 'x', node: x, dtype: 'float32' }],
    outputs: [{ name: 'y', node: y, dtype: 'float32' }],
  });
}

export function imagesOf(shape: readonly number[]): NdArray {
  return float32(uniform({ seed: 3, stream: 'images' }, sizeOf(shape)), shape);
}

type Given = { readonly weights: Tensors; readonly x: tf.Tensor };

/** The engine's y of a file of `fileOf`; `around` is what it is traced in. */
export async function tracedFile(
  engine: Engine,
  file: Uint8Array,
  x: NdArray,
  around: (body: () => tf.Tensor) => tf.Tensor = (body) => body(),
): Promise<NdArray> {
  const { parameters, forward } = await importOnnx(file);
  const f = (given: Given) => ({ y: around(() => forward(given.weights, { x: given.x }).y as tf.Tensor) });
  return (await runCompiled(engine, 'file', f, { weights: parameters, x })).y;
}

/** The gradients of the sum of y, by x and by the weights under their names in the file. */
export async function gradientsOfFile(
  engine: Engine,
  file: Uint8Array,
  x: NdArray,
): Promise<Readonly<Record<string, NdArray>>> {
  const { parameters, forward } = await importOnnx(file);
  const f = (given: Given): Record<string, tf.Tensor> => {
    const sum = (variables: Tree<tf.Tensor>) => {
      const { weights, x: images } = variables as unknown as Given;
      return tf.sum(forward(weights, { x: images }).y as tf.Tensor);
    };
    const { gradient } = valueAndGrad(sum, given as unknown as Tree<tf.Tensor>);
    const { weights, x: images } = gradient as unknown as Given;
    return { ...weights, x: images };
  };
  return runCompiled(engine, 'gradients', f, { weights: parameters, x });
}
