import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from './errors.ts';
import { type Attributes, fillDraft, type Graph, GraphBuilder, liveNodes, type NamedNode, type Node } from './graph.ts';
import type { DType, NdArray } from './ndarray.ts';
import { type AddNode, isPrimitive } from './operations/operation.ts';
import { operations, TABLE } from './operations/table.ts';

/** What is known while a function is traced: its nodes, and which tensor stands for which node. */
export class Trace {
  readonly name: string;
  readonly builder = new GraphBuilder();
  /** Set by `withSoftplus` while it traces its body. */
  reluSharpness = Number.POSITIVE_INFINITY;
  readonly #nodes = new WeakMap<object, Node>();
  readonly #orders = new WeakMap<Node, number>();

  constructor(name: string) {
    this.name = name;
  }

  readonly add: AddNode = (kernel, inputs, attributes = {}) => addNode(this.builder, kernel, inputs, attributes);

  /** The node behind a tensor. @throws EngineError if the tensor was not made in this trace. */
  node(tensor: tf.TensorInfo): Node {
    const node = this.#nodes.get(tensor.dataId);
    if (node) return node;
    throw new EngineError(
      'INVALID_GRAPH',
      `'${this.name}' uses a tensor of shape [${tensor.shape}] that was made outside it: pass it as an input, or make it inside`,
    );
  }

  tensor(node: Node): tf.Tensor {
    return tf.engine().makeTensorFromTensorInfo(this.info(node));
  }

  info(node: Node): tf.TensorInfo {
    const dataId = {};
    this.#nodes.set(dataId, node);
    return { dataId, shape: [...node.shape], dtype: node.dtype };
  }

  /** A node for numbers that TensorFlow.js makes: `tf.tensor(...)`, or a number as an operand. */
  write(values: NdArray['data'], shape: readonly number[], dtype: DType): object {
    const first = values[0];
    const isFill = first !== undefined && values.every((value) => Object.is(value, first));
    const node = isFill
      ? this.builder.make(fillDraft(shape, first, dtype))
      : this.builder.constant(values.slice(), shape, dtype);
    return this.info(node).dataId;
  }

  /** Which derivative the node is part of: 0 for the function itself. Only messages need it. */
  orderOf(node: Node): number {
    return this.#orders.get(node) ?? 0;
  }

  setOrder(node: Node, order: number): void {
    this.#orders.set(node, order);
  }

  /** A node of its own for a value, so that "depends on this variable" is exact; it vanishes when tracing is over. */
  marker(node: Node): Node {
    const { shape, dtype } = node;
    return this.builder.makeUnique({ kernel: 'Identity', inputs: [node], attributes: { stop: false }, shape, dtype });
  }
}

/** Adds a node in its normal form: shape inferred, simplified, shared with an equal one. */
export function addNode(builder: GraphBuilder, kernel: string, inputs: readonly Node[], given: Attributes): Node {
  const operation = operations.get(kernel);
  if (!operation || !isPrimitive(operation)) throw unsupported(kernel);
  const { shape, dtype, attributes = {} } = operation.infer(inputs, given);
  const add: AddNode = (k, nodes, attrs = {}) => addNode(builder, k, nodes, attrs);
  const draft = { kernel, inputs, attributes, shape, dtype };
  return operation.simplify?.(draft, add) ?? builder.make(draft);
}

let active: Trace | undefined;

/** Whether a function is being traced, and so whether `grad`, `vjp` and `valueAndGrad` may be called. */
export function isTracing(): boolean {
  return active !== undefined;
}

/** The trace that is going on. @throws EngineError if there is none; `user` names what needs it. */
export function activeTrace(user: string): Trace {
  if (active) return active;
  throw new EngineError('INVALID_GRAPH', `${user} works only inside a function that the engine compiles`);
}

export function unsupported(kernel: string, trace = active): EngineError {
  const where = trace ? ` (used by '${trace.name}')` : '';
  return new EngineError(
    'UNSUPPORTED_OPERATION',
    `the engine has no row for the TensorFlow.js kernel ${kernel}${where}: it belongs into a table of ${TABLE}`,
  );
}

/**
 * Runs `body` with a new trace. Tracing is synchronous, whatever happens leaves the trace before (if any) as it was, and
 * no tensor survives it.
 */
export function withTrace<T>(name: string, body: (trace: Trace) => T): T {
  const before = active;
  const trace = new Trace(name);
  active = trace;
  tf.engine().startScope(name);
  try {
    return body(trace);
  } finally {
    tf.engine().endScope();
    active = before;
  }
}

/** The graph of what the trace recorded: markers gone, dead nodes dropped, equal nodes one node. */
export function finishGraph(trace: Trace, inputs: readonly NamedNode[], outputs: readonly NamedNode[]): Graph {
  const builder = new GraphBuilder();
  const renewed = new Map<Node, Node>();
  const renew = (node: Node): Node => {
    const { kernel, attributes, shape, dtype, values } = node;
    const sources = node.inputs.map((input) => renewed.get(input) ?? input);
    if (kernel === 'Identity' && sources[0]) return sources[0];
    if (kernel === 'Input' || kernel === 'Constant')
      return builder.make({ kernel, inputs: [], attributes, shape, dtype, values });
    return addNode(builder, kernel, sources, attributes);
  };
  const ends = outputs.map(({ node }) => node);
  for (const node of liveNodes(trace.builder.nodes, [...inputs.map(({ node }) => node), ...ends]))
    renewed.set(node, renew(node));
  const named = (list: readonly NamedNode[]) =>
    list.map(({ name, node }) => ({ name, node: renewed.get(node) ?? node }));
  const result = { inputs: named(inputs), outputs: named(outputs) };
  const nodes = liveNodes(
    builder.nodes,
    [...result.inputs, ...result.outputs].map(({ node }) => node),
  );
  return { name: trace.name, nodes, ...result };
}
