import * as tf from '@tensorflow/tfjs-core';
import type { Graph, Node } from './graph.ts';
import type { NdArray } from './ndarray.ts';
import { isPrimitive } from './operations/operation.ts';
import { operations } from './operations/table.ts';
import type { Program } from './program.ts';

const BACKEND = 'cpu';

/** Interprets a graph with TensorFlow.js' plain JavaScript backend: slow, and independent of every lowering. For tests. */
export async function loadReference(graph: Graph): Promise<Program> {
  await import('@tensorflow/tfjs-backend-cpu');
  return {
    bytes: 0,
    run: async (inputs) => interpret(graph, inputs),
    release: async () => {},
  };
}

function interpret(graph: Graph, inputs: readonly NdArray[]): NdArray[] {
  if (!tf.getBackend()) tf.backend();
  const before = tf.getBackend();
  void tf.setBackend(BACKEND);
  tf.engine().startScope();
  try {
    const tensors = new Map<Node, tf.Tensor>();
    for (const [i, { node }] of graph.inputs.entries()) {
      const input = inputs[i];
      if (input) tensors.set(node, tf.tensor(input.data, [...input.shape], input.dtype));
    }
    for (const node of graph.nodes) if (!tensors.has(node)) tensors.set(node, evaluate(node, tensors));
    return graph.outputs.map(({ node }) => arrayOf(node, tensors));
  } finally {
    tf.engine().endScope();
    void tf.setBackend(before);
  }
}

function evaluate(node: Node, tensors: ReadonlyMap<Node, tf.Tensor>): tf.Tensor {
  const { kernel, attributes, shape, dtype, values } = node;
  if (kernel === 'Constant') return tf.tensor(values ?? [], [...shape], dtype);
  const operation = operations.get(kernel);
  if (operation && isPrimitive(operation) && operation.evaluate)
    return operation.evaluate(
      node.inputs.flatMap((input) => tensors.get(input) ?? []),
      attributes,
    );
  const names = operation?.inputs ?? [];
  const named = node.inputs.flatMap((input, i) => {
    const tensor = tensors.get(input);
    return tensor ? [[names === 'list' ? String(i) : (names[i] ?? ''), tensor] as const] : [];
  });
  const inputs = names === 'list' ? named.map(([, tensor]) => tensor) : Object.fromEntries(named);
  return tf.engine().runKernel(kernel, inputs as tf.NamedTensorMap, attributes as tf.NamedAttrMap);
}

function arrayOf(node: Node, tensors: ReadonlyMap<Node, tf.Tensor>): NdArray {
  const { shape, dtype } = node;
  return { shape, dtype, data: (tensors.get(node)?.dataSync() ?? new Float32Array()).slice() as NdArray['data'] };
}
