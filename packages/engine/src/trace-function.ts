import type * as tf from '@tensorflow/tfjs-core';
import { onTraceBackend } from './backend.ts';
import { EngineError } from './errors.ts';
import type { Graph } from './graph.ts';
import type { TensorSpec, Tree } from './ndarray.ts';
import { finishGraph, withTrace } from './trace.ts';
import { describeValue, flatten, isSpec, isTensor, mapTree } from './tree.ts';

/** A traced function: its graph, and the names of its outputs in the form of its result. */
export interface TracedFunction {
  readonly graph: Graph;
  readonly result: Tree<string>;
}

/** Runs `fn` once on tensors that record what is done with them. @throws EngineError INVALID_GRAPH, UNSUPPORTED_OPERATION */
export function traceFunction(
  fn: (inputs: never) => Tree<tf.Tensor>,
  specs: Tree<TensorSpec>,
  name: string,
): TracedFunction {
  return onTraceBackend(() =>
    withTrace(name, (trace) => {
      const inputs = flatten(specs, isSpec, `'${name}': spec`).map(({ name: input, value: { shape, dtype } }) => ({
        name: input,
        node: trace.builder.make({ kernel: 'Input', inputs: [], attributes: { name: input }, shape, dtype }),
      }));
      const nodes = new Map(inputs.map((input) => [input.name, input.node]));
      const tensors = mapTree(specs, isSpec, (_, path) => {
        const node = nodes.get(path);
        if (!node) throw new EngineError('INVALID_INPUT', `'${name}' has no input '${path}'`);
        return trace.tensor(node);
      });
      const result: unknown = fn(tensors as never);
      if (result instanceof Promise)
        throw new EngineError('INVALID_GRAPH', `'${name}' gave a promise: a traced function must be synchronous`);
      const outputs = flatten(result, isTensor, `'${name}': output`).map((leaf) => ({
        name: leaf.name,
        node: trace.node(leaf.value),
      }));
      if (outputs.length === 0)
        throw new EngineError('INVALID_GRAPH', `'${name}' gave ${describeValue(result)}: it has no outputs`);
      const form = mapTree(result as Tree<tf.Tensor>, isTensor, (_, path) => path);
      return { graph: finishGraph(trace, inputs, outputs), result: form };
    }),
  );
}
