import { EngineError } from '../errors.ts';
import { type Graph, liveNodes, type Node } from '../graph.ts';
import { isPrimitive } from '../operations/operation.ts';
import { operations, TABLE } from '../operations/table.ts';
import { peakBytes } from '../peak-bytes.ts';
import type { ScanRole } from '../program.ts';
import { encodeModel, encodeScan, type NamedValue, nodeName } from './encode.ts';
import { fuseIntoConvolutions } from './fuse.ts';
import { OnnxGraph, type OnnxGraphOptions, type OnnxNode } from './graph.ts';
import { rows, rowsValue, settled, sumOfPhases, type Value } from './layout.ts';

export interface LoweredGraph {
  /** An ONNX model in protobuf. */
  readonly model: Uint8Array;
  /** For each input of the graph its name in the model; `undefined` if nothing depends on it. */
  readonly inputNames: readonly (string | undefined)[];
  readonly outputNames: readonly string[];
  /** By the name of an operator in the model the node of the graph that it was made for. */
  readonly origins: ReadonlyMap<string, Node>;
  /** About how much memory a run needs for what it computes, in bytes. */
  readonly workingBytes: number;
}

/** A graph as an ONNX model. Names of the graph may be any text, so the model has its own. */
export function lowerGraph(graph: Graph, block: number, options: OnnxGraphOptions = {}): LoweredGraph {
  const onnx = new OnnxGraph(block, options);
  const { nodes, outputs, origins } = lowerNodes(graph, onnx, (input, i) =>
    onnx.input(`in${i}`, input.shape, input.dtype),
  );
  const used = new Set(nodes.map(({ name }) => name));
  return {
    model: encodeModel({ nodes, inputs: inputsOf(nodes), outputs }),
    inputNames: graph.inputs.map((_, i) => (used.has(`in${i}`) ? `in${i}` : undefined)),
    outputNames: outputs.map(({ name }) => name),
    origins,
    workingBytes: peakBytes(
      nodes,
      outputs.map(({ node }) => node),
    ),
  };
}

/** A graph as an ONNX model that runs it step by step. */
export function lowerScan(
  graph: Graph,
  roles: readonly ScanRole[],
  block: number,
  options: OnnxGraphOptions = {},
): Pick<LoweredGraph, 'model' | 'inputNames' | 'outputNames'> {
  const onnx = new OnnxGraph(block, options);
  const inputs: NamedValue[] = [];
  const { nodes, outputs } = lowerNodes(graph, onnx, (input, i) => {
    const node = onnx.input(`in${i}`, input.shape, input.dtype);
    inputs.push({ name: `in${i}`, node, dtype: input.dtype });
    return node;
  });
  const outside = (name: string) => `scan_${name}`;
  const named = (value: NamedValue) => ({ name: outside(value.name), value });
  const inRole = (role: ScanRole) => inputs.filter((_, i) => roles[i] === role);
  const next = new Map(graph.outputs.map(({ name }, i) => [name, outputs[i]]));
  const carried = graph.inputs.flatMap(({ name }, i) => {
    const [input, output] = [inputs[i], next.get(name)];
    return roles[i] === 'carried' && input && output ? [{ input: named(input), output: named(output) }] : [];
  });
  const state = new Set(carried.map(({ output }) => output.value));
  const made = outputs.filter((value) => !state.has(value)).map(named);
  return {
    model: encodeScan({ nodes, carried, each: inRole('each').map(named), fixed: inRole('fixed'), made }),
    inputNames: inputs.map(({ name }, i) => (roles[i] === 'fixed' ? name : outside(name))),
    outputNames: outputs.map(({ name }) => outside(name)),
  };
}

/**
 * The ONNX nodes that the outputs need, in order, and the outputs `out0`, `out1`, ... `leaf` makes the node that stands for an input of the graph.
 */
export function lowerNodes(
  graph: Graph,
  onnx: OnnxGraph,
  leaf: (input: Node, index: number, name: string) => OnnxNode,
): {
  readonly nodes: readonly OnnxNode[];
  readonly outputs: readonly NamedValue[];
  readonly origins: ReadonlyMap<string, Node>;
} {
  const origins = new Map<string, Node>();
  const madeFor = <T>(node: Node, make: () => T): T => {
    const first = onnx.nodes.length;
    const made = make();
    for (const operator of onnx.nodes.slice(first)) origins.set(nodeName(operator), node);
    return made;
  };
  const values = new Map<Node, Value>();
  graph.inputs.forEach(({ node, name }, i) => {
    values.set(node, rowsValue(leaf(node, i, name), node.dtype));
  });
  for (const node of graph.nodes)
    if (!values.has(node))
      values.set(
        node,
        madeFor(node, () => lowerNode(onnx, node, values, graph.name)),
      );
  const outputs = graph.outputs.map(({ node }, i): NamedValue => {
    const value = values.get(node);
    if (!value) throw new EngineError('INVALID_GRAPH', `graph '${graph.name}': output ${i} is not part of it`);
    return { name: `out${i}`, node: madeFor(node, () => rows(onnx, value)), dtype: node.dtype };
  });
  const needed = outputs.map(({ node }) => node);
  const live = liveNodes(onnx.nodes, needed);
  const { nodes, became } = fuseIntoConvolutions(onnx, live, new Set(needed));
  for (const [before, after] of became) {
    const origin = origins.get(nodeName(before));
    if (origin && !origins.has(nodeName(after))) origins.set(nodeName(after), origin);
  }
  return {
    nodes,
    outputs: outputs.map((output) => ({ ...output, node: became.get(output.node) ?? output.node })),
    origins,
  };
}

/** The inputs among the nodes. */
export function inputsOf(nodes: readonly OnnxNode[]): NamedValue[] {
  return nodes.flatMap((node): NamedValue[] =>
    node.name && node.dtype && node.dtype !== 'int64' ? [{ name: node.name, node, dtype: node.dtype }] : [],
  );
}

function lowerNode(onnx: OnnxGraph, node: Node, values: ReadonlyMap<Node, Value>, graphName: string): Value {
  const { kernel, shape, dtype } = node;
  if (kernel === 'Constant') return rowsValue(onnx.constant(node.values ?? [], shape, dtype), dtype);
  const operation = operations.get(kernel);
  if (!operation || !isPrimitive(operation))
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `${kernel} in '${graphName}' cannot be lowered to ONNX: no row in ${TABLE}`,
    );
  const inputs = node.inputs.flatMap((input) => values.get(input) ?? []);
  const sum = kernel === 'Add' ? sumOfPhases(onnx, inputs) : undefined;
  return (
    sum ??
    operation.lower(
      onnx,
      inputs.map((value) => settled(onnx, value)),
      node,
    )
  );
}
