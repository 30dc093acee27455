import { EngineError } from '../errors.ts';
import { type Graph, liveNodes, type Node } from '../graph.ts';
import { isPrimitive } from '../operations/operation.ts';
import { operations, TABLE } from '../operations/table.ts';
import { encodeModel, type NamedValue } from './encode.ts';
import { OnnxGraph, type OnnxNode } from './graph.ts';
import { rows, rowsValue, type Value } from './layout.ts';

export interface LoweredGraph {
  /** An ONNX model in protobuf. */
  readonly model: Uint8Array;
  /** For each input of the graph its name in the model; `undefined` if nothing depends on it. */
  readonly inputNames: readonly (string | undefined)[];
  readonly outputNames: readonly string[];
  /** About how much memory a run needs for what it computes, in bytes. */
  readonly workingBytes: number;
}

/** A graph as an ONNX model. Names of the graph may be any text, so the model has its own. */
export function lowerGraph(graph: Graph, block: number): LoweredGraph {
  const onnx = new OnnxGraph(block);
  const names = new Map(graph.inputs.map(({ node }, i) => [node, `in${i}`]));
  const values = new Map<Node, Value>();
  for (const node of graph.nodes) values.set(node, lowerNode(onnx, node, names, values, graph.name));
  const outputs = graph.outputs.map(({ node }, i): NamedValue => {
    const value = values.get(node);
    if (!value) throw new EngineError('INVALID_GRAPH', `graph '${graph.name}': output ${i} is not part of it`);
    return { name: `out${i}`, node: rows(onnx, value), dtype: node.dtype };
  });
  const nodes = liveNodes(
    onnx.nodes,
    outputs.map(({ node }) => node),
  );
  const used = new Set(nodes.map(({ name }) => name));
  const inputs = nodes.flatMap((node): NamedValue[] =>
    node.name && node.dtype && node.dtype !== 'int64' ? [{ name: node.name, node, dtype: node.dtype }] : [],
  );
  return {
    model: encodeModel(nodes, inputs, outputs),
    inputNames: graph.inputs.map((_, i) => (used.has(`in${i}`) ? `in${i}` : undefined)),
    outputNames: outputs.map(({ name }) => name),
    workingBytes: peakBytes(
      nodes,
      outputs.map(({ node }) => node),
    ),
  };
}

function lowerNode(
  onnx: OnnxGraph,
  node: Node,
  names: Map<Node, string>,
  values: Map<Node, Value>,
  graphName: string,
): Value {
  const { kernel, shape, dtype } = node;
  if (kernel === 'Input') return rowsValue(onnx.input(names.get(node) ?? '', shape, dtype), dtype);
  if (kernel === 'Constant') return rowsValue(onnx.constant(node.values ?? [], shape, dtype), dtype);
  const operation = operations.get(kernel);
  if (!operation || !isPrimitive(operation))
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `${kernel} in '${graphName}' cannot be lowered to ONNX: no row in ${TABLE}`,
    );
  const inputs = node.inputs.flatMap((input) => values.get(input) ?? []);
  return operation.lower(onnx, inputs, node);
}

/** The most bytes that are alive at once if each value is freed after its last use. */
function peakBytes(nodes: readonly OnnxNode[], outputs: readonly OnnxNode[]): number {
  const lastUse = new Map<OnnxNode, OnnxNode>();
  for (const node of nodes) for (const input of node.inputs) lastUse.set(input, node);
  for (const output of outputs) lastUse.delete(output);
  const bytes = ({ shape }: OnnxNode) => 4 * shape.reduce((product, dimension) => product * dimension, 1);
  let alive = 0;
  let peak = 0;
  for (const node of nodes) {
    alive += bytes(node);
    peak = Math.max(peak, alive);
    for (const input of new Set(node.inputs)) if (lastUse.get(input) === node) alive -= bytes(input);
  }
  return peak;
}
