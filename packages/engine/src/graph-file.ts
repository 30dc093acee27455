import { EngineError } from './errors.ts';
import type { Attribute, Graph, NamedNode, Node } from './graph.ts';
import type { DType, NdArray, Tree } from './ndarray.ts';
import { readSafetensors, writeSafetensors } from './safetensors.ts';
import { describeValue, flatten, isName } from './tree.ts';
import { verifyGraph } from './verify.ts';

// A graph as a safetensors file: constants are its tensors `0`, `1`, ..., everything else is JSON in the metadata. Nodes are numbered by their place.

const FORMAT = 'jsigr-graph-1';

interface StoredGraph {
  readonly name: string;
  readonly nodes: readonly StoredNode[];
  readonly inputs: readonly (readonly [name: string, node: number])[];
  readonly outputs: readonly (readonly [name: string, node: number])[];
  /** The names of the outputs in the form of the function's result. */
  readonly result: Tree<string>;
}

type StoredNode = readonly [
  kernel: string,
  inputs: readonly number[],
  shape: readonly number[],
  dtype: DType,
  attributes: Readonly<Record<string, Attribute>>,
];

export function writeGraph(graph: Graph, result: Tree<string>): Uint8Array {
  const places = new Map(graph.nodes.map((node, place) => [node, place]));
  const place = (node: Node) => places.get(node) ?? -1;
  const named = (list: readonly NamedNode[]) => list.map(({ name, node }) => [name, place(node)] as const);
  const stored: StoredGraph = {
    name: graph.name,
    nodes: graph.nodes.map(
      ({ kernel, inputs, shape, dtype, attributes }): StoredNode => [
        kernel,
        inputs.map(place),
        shape,
        dtype,
        attributes,
      ],
    ),
    inputs: named(graph.inputs),
    outputs: named(graph.outputs),
    result,
  };
  const constants = graph.nodes.flatMap(({ values, shape, dtype }, i): [string, NdArray][] =>
    values ? [[String(i), { shape, dtype, data: values }]] : [],
  );
  return writeSafetensors(Object.fromEntries(constants), {
    format: FORMAT,
    graph: JSON.stringify(stored, (_, value: unknown) => (isOdd(value) ? { $number: oddText(value) } : value)),
  });
}

/** @throws EngineError MALFORMED_FILE if the bytes are not a valid graph */
export function readGraph(bytes: Uint8Array): { readonly graph: Graph; readonly result: Tree<string> } {
  const { tensors, metadata } = readSafetensors(bytes);
  if (metadata.format !== FORMAT) throw malformed(`its format is ${metadata.format ?? 'not given'}, not ${FORMAT}`);
  try {
    const stored = JSON.parse(metadata.graph ?? '', (_, value: unknown) =>
      isOddText(value) ? Number(value.$number) : value,
    );
    return restore(stored as StoredGraph, tensors as Readonly<Record<string, NdArray>>);
  } catch (cause) {
    throw malformed(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/** Builds what the JSON says; whatever of it is not as `StoredGraph` says fails here or in `verifyGraph`. */
function restore(stored: StoredGraph, constants: Readonly<Record<string, NdArray>>) {
  const nodes: Node[] = [];
  const node = (place: number): Node => {
    const found = nodes[place];
    if (!found)
      throw new RangeError(`node ${nodes.length} refers to ${describeValue(place)} ${place}, which is not before it`);
    return found;
  };
  for (const [kernel, inputs, shape, dtype, attributes] of stored.nodes) {
    const values = kernel === 'Constant' ? constantOf(constants, nodes.length, shape, dtype) : undefined;
    const content = { kernel, inputs: inputs.map(node), shape, dtype, attributes };
    nodes.push({ id: nodes.length, ...content, ...(values ? { values } : {}) });
  }
  const named = (list: StoredGraph['inputs']) => list.map(([name, place]) => ({ name, node: node(place) }));
  const graph = { name: stored.name, nodes, inputs: named(stored.inputs), outputs: named(stored.outputs) };
  verifyGraph(graph);
  const names = new Set(graph.outputs.map(({ name }) => name));
  for (const { value } of flatten(stored.result, isName, 'the result'))
    if (!names.has(value)) throw new RangeError(`the result has a leaf '${value}' that is no output`);
  return { graph, result: stored.result };
}

function constantOf(
  constants: Readonly<Record<string, NdArray>>,
  place: number,
  shape: readonly number[],
  dtype: DType,
): NdArray['data'] {
  const found = constants[String(place)];
  if (found?.dtype !== dtype || found.shape.join() !== shape.join())
    throw new RangeError(`the tensor of the constant ${place} is missing, or of another type`);
  return found.data;
}

/** Numbers that JSON cannot say. */
function isOdd(value: unknown): value is number {
  return typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0));
}

function oddText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

function isOddText(value: unknown): value is { readonly $number: string } {
  return typeof value === 'object' && value !== null && '$number' in value;
}

function malformed(problem: string, cause?: unknown): EngineError {
  return new EngineError('MALFORMED_FILE', `not a saved function of the engine: ${problem}`, { cause });
}
