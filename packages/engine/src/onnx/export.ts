import type * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import { type NdArray, specOf, type TensorSpec, type Tree } from '../ndarray.ts';
import { traceFunction } from '../trace-function.ts';
import { flatten, isArray, mapTree } from '../tree.ts';
import { encodeModel } from './encode.ts';
import { foldConstants } from './fold.ts';
import { OnnxGraph, type OnnxNode } from './graph.ts';
import { inputsOf, lowerNodes } from './lower.ts';

/** Stands for the batch size while tracing; a prime, so that a shape which was computed from it is found. */
const BATCH = 7919;

export interface OnnxExport {
  /** Arrays that become part of the file. */
  readonly constants: Readonly<Record<string, Tree<NdArray>>>;
  /** The file's input: `[N, ...shape]`, with N left open. */
  readonly input: { readonly name: string; readonly spec: TensorSpec };
  /** Name of the file's output, `[N, ...]`. */
  readonly output: string;
}

/**
 * A function of a batch as an ONNX file of standard operators, which any runtime reads, with what its constants alone decide computed (sums, products, roots and new orders of theirs). `fn` gets the constants and the input by their names.
 * @throws EngineError UNSUPPORTED_OPERATION if the batch size is used in another way than to keep or merge shapes, or if an operation has no
 * standard form
 */
export function exportOnnx(fn: (inputs: never) => tf.Tensor, { constants, input, output }: OnnxExport): Uint8Array {
  const { name, spec } = input;
  const batched: TensorSpec = { ...spec, shape: [BATCH, ...spec.shape] };
  const { graph } = traceFunction(
    (inputs: never) => ({ [output]: fn(inputs) }),
    { ...mapTree(constants, isArray, specOf), [name]: batched },
    output,
  );
  const arrays = new Map(flatten(constants, isArray, 'constants').map((leaf) => [leaf.name, leaf.value]));
  const onnx = new OnnxGraph(1, { onlyStandard: true });
  const lowered = foldConstants(
    onnx,
    lowerNodes(graph, onnx, (node, _, path) => {
      const array = arrays.get(path);
      return array ? onnx.constant(array.data, array.shape, array.dtype) : onnx.input(name, node.shape, node.dtype);
    }),
  );
  const nodes = withOpenBatch(lowered.nodes);
  const outputs = lowered.outputs.map((value) => ({ ...value, name: output }));
  return encodeModel({ nodes, inputs: inputsOf(nodes), outputs }, { free: { dimension: BATCH, name: 'N' } });
}

/** Target shapes of Reshape say -1 where the batch size was. Any other use of it would fix the batch size, and is refused. */
function withOpenBatch(nodes: readonly OnnxNode[]): OnnxNode[] {
  const refuse = (operator: string) => {
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `${operator} needs the batch size: it cannot be exported with an open one`,
    );
  };
  for (const { operator, inputs } of nodes) {
    for (const [i, input] of inputs.entries())
      if (usesBatch(input) && !(operator === 'Reshape' && i === 1)) refuse(operator);
  }
  return nodes.map((node) => {
    if (!usesBatch(node)) return node;
    const values = integersOf(node).map((value) => (value === BATCH ? -1 : value));
    if (values.filter((value) => value < 0).length > 1 || values.some((value) => value > 0 && value % BATCH === 0))
      refuse('Reshape');
    return { ...node, raw: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) };
  });
}

function usesBatch(node: OnnxNode): boolean {
  return integersOf(node).some((value) => value !== 0 && value % BATCH === 0);
}

/** The numbers of a constant list of int64 (a shape, axes); empty for any other node. */
function integersOf({ operator, dtype, raw }: OnnxNode): number[] {
  if (operator !== 'Constant' || dtype !== 'int64' || !raw) return [];
  return Array.from(new BigInt64Array(raw.slice().buffer), Number);
}
