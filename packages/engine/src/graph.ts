import { EngineError } from './errors.ts';
import type { DType, NdArray } from './ndarray.ts';
import { sizeOf } from './ndarray.ts';

export type Attribute = number | string | boolean | undefined | readonly Attribute[];
export type Attributes = Readonly<Record<string, Attribute>>;

/** One value of a graph. `kernel` and `attributes` are TensorFlow.js' own; layouts and engines come later. */
export interface Node<A extends Attributes = Attributes> {
  readonly id: number;
  /** A TensorFlow.js kernel name, or `Input`, or `Constant`. */
  readonly kernel: string;
  readonly inputs: readonly Node[];
  readonly attributes: A;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** The numbers of a `Constant`. */
  readonly values?: NdArray['data'];
}

/** A traced function: nodes in an order in which inputs come first, and the names of what goes in and out. */
export interface Graph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly inputs: readonly NamedNode[];
  readonly outputs: readonly NamedNode[];
}

export interface NamedNode {
  readonly name: string;
  readonly node: Node;
}

/** What a node is made of; `GraphBuilder.make` gives it an id, or finds the equal node that exists already. */
export type Draft = Omit<Node, 'id'>;

/** Weights and data are inputs; a constant is for tables of indices and the like. */
export const CONSTANT_LIMIT = 1 << 20;

/** Collects nodes; equal nodes are one node ("hash-consing"). */
export class GraphBuilder {
  readonly nodes: Node[] = [];
  readonly #table = new Map<string, Node>();

  make(draft: Draft): Node {
    const key = keyOf(draft);
    const known = this.#table.get(key);
    if (known) return known;
    const node = this.makeUnique(draft);
    this.#table.set(key, node);
    return node;
  }

  /** A node of its own even if an equal one exists. */
  makeUnique(draft: Draft): Node {
    const node = { ...draft, id: this.nodes.length };
    this.nodes.push(node);
    return node;
  }

  constant(values: NdArray['data'], shape: readonly number[], dtype: DType): Node {
    if (values.length > CONSTANT_LIMIT)
      throw new EngineError(
        'UNSUPPORTED_OPERATION',
        `a constant of shape [${shape}] has ${values.length} numbers; the limit is ${CONSTANT_LIMIT}: make it an input`,
      );
    return this.make({ kernel: 'Constant', inputs: [], attributes: {}, shape, dtype, values });
  }
}

export function fillDraft(shape: readonly number[], value: number, dtype: DType): Draft {
  return { kernel: 'Fill', inputs: [], attributes: { shape, value, dtype }, shape, dtype };
}

/** The value that a node has everywhere, if that is known. */
export function fillValue(node: Node): number | undefined {
  return node.kernel === 'Fill' ? (node.attributes.value as number) : undefined;
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dimension, i) => dimension === b[i]);
}

/** Nodes that the outputs need, inputs of a node before the node. Ids grow from inputs to outputs, so no recursion. */
export function liveNodes<N extends { readonly inputs: readonly N[] }>(
  nodes: readonly N[],
  outputs: readonly N[],
): N[] {
  const live = new Set(outputs);
  for (const node of nodes.toReversed()) if (live.has(node)) for (const input of node.inputs) live.add(input);
  return nodes.filter((node) => live.has(node));
}

function keyOf({ kernel, inputs, attributes, shape, dtype, values }: Draft): string {
  const bytes = values && Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
  const attributeKey = Object.entries(attributes).map(([name, value]) => `${name}=${attributeText(value)}`);
  return `${kernel}|${inputs.map((node) => node.id)}|${attributeKey.join()}|${shape}|${dtype}|${bytes ?? ''}`;
}

/** Unlike JSON this keeps -0, infinities and NaN apart. */
function attributeText(value: Attribute): string {
  if (Array.isArray(value)) return `[${value.map(attributeText).join()}]`;
  return Object.is(value, -0) ? '-0' : String(value);
}

export function describe(node: Pick<Node, 'dtype' | 'shape'>): string {
  return `${node.dtype}[${node.shape}]`;
}

/** Bytes of one value. */
export function bytesOf(node: Pick<Node, 'dtype' | 'shape'>): number {
  return sizeOf(node.shape) * (node.dtype === 'bool' ? 1 : 4);
}
