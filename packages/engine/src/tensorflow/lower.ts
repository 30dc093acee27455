import { EngineError } from '../errors.ts';
import type { Graph, Node } from '../graph.ts';
import { encodeSavedModel } from './encode.ts';
import { TensorflowGraph } from './graph.ts';
import { type Operand, plain } from './operand.ts';
import { TENSORFLOW_TABLE, tensorflowOperations } from './operations.ts';

export interface LoweredGraph {
  /** A SavedModel in protobuf, whose placeholders are `in0`, `in1`, ... and whose results `out0`, `out1`, ... */
  readonly model: Uint8Array;
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
}

/** A graph as a TensorFlow SavedModel. @throws EngineError UNSUPPORTED_OPERATION, naming the operation that has no row. */
export function lowerToTensorflow(graph: Graph): LoweredGraph {
  const target = new TensorflowGraph();
  const names = lowerNodes(graph, target);
  return { model: encodeSavedModel(target.nodes), ...names };
}

/** Adds all that the graph needs to the target; gives the names of what goes in and out. */
export function lowerNodes(graph: Graph, target: TensorflowGraph): Omit<LoweredGraph, 'model'> {
  const operands = new Map<Node, Operand>();
  const inputNames = graph.inputs.map(({ node }, i) => {
    const name = target.placeholder(`in${i}`, node.shape, node.dtype);
    operands.set(node, plain(name, node.shape, node.dtype));
    return name;
  });
  for (const node of graph.nodes)
    if (!operands.has(node)) operands.set(node, lowerNode(target, node, operands, graph.name));
  const outputNames = graph.outputs.map(({ node }, i) => {
    const operand = operands.get(node);
    if (!operand) throw new EngineError('INVALID_GRAPH', `graph '${graph.name}': output ${i} is not part of it`);
    return target.node('Identity', [operand.full()], { T: { type: node.dtype } }, `out${i}`);
  });
  return { inputNames, outputNames };
}

function lowerNode(
  target: TensorflowGraph,
  node: Node,
  operands: ReadonlyMap<Node, Operand>,
  graphName: string,
): Operand {
  const { kernel, shape, dtype, values } = node;
  if (kernel === 'Constant') return plain(target.constant(values ?? [], shape, dtype), shape, dtype);
  const row = tensorflowOperations[kernel];
  if (!row)
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `${kernel} in '${graphName}' cannot be lowered to TensorFlow: no row in ${TENSORFLOW_TABLE}`,
    );
  const inputs = node.inputs.flatMap((input) => operands.get(input) ?? []);
  const result = row(target, inputs, node);
  return typeof result === 'string' ? plain(result, shape, dtype) : result;
}
