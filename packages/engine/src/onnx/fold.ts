import { liveNodes } from '../graph.ts';
import type { NamedValue } from './encode.ts';
import { rebuilt } from './fuse.ts';
import { at, type OnnxGraph, type OnnxNode } from './graph.ts';

interface Content {
  readonly nodes: readonly OnnxNode[];
  readonly outputs: readonly NamedValue[];
}

/**
 * The same graph with what depends on constants alone computed: a filter in another order, or times the factor of a normalisation. Many readers
 * of ONNX want a convolution's filter to be numbers of the file. Each operation rounds to float32, as runtimes do.
 */
export function foldConstants(graph: OnnxGraph, { nodes, outputs }: Content): Content {
  const became = new Map<OnnxNode, OnnxNode>();
  for (const node of nodes) {
    const known = rebuilt(graph, node, became);
    const made = folded(graph, known) ?? known;
    if (made !== node) became.set(node, made);
  }
  const now = (node: OnnxNode) => became.get(node) ?? node;
  const all = [...new Set(nodes.map(now))];
  const isConstant = ({ operator }: OnnxNode) => operator === 'Constant';
  const inOrder = [...all.filter(isConstant), ...all.filter((node) => !isConstant(node))];
  const results = outputs.map((output) => ({ ...output, node: now(output.node) }));
  const needed = results.map(({ node }) => node);
  return { nodes: liveNodes(inOrder, needed), outputs: results };
}

const ELEMENTWISE: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
  Sqrt: Math.sqrt,
  Reciprocal: (a) => 1 / a,
};

function folded(graph: OnnxGraph, { operator, inputs, shape, attributes }: OnnxNode): OnnxNode | undefined {
  const [first, second = first] = inputs;
  const a = numbersOf(first);
  if (!first || !second || !a) return undefined;
  if (operator === 'Reshape') return graph.constant(a, shape);
  if (operator === 'Transpose') {
    const strides = stridesOf(first.shape);
    const perm = attributes.perm as readonly number[];
    const moved = perm.map((axis) => at(strides, axis));
    return graph.constant(strided(a, shape, moved), shape);
  }
  const compute = ELEMENTWISE[operator];
  const b = numbersOf(second);
  if (!compute || !b) return undefined;
  const left = strided(a, shape, repeatingStrides(first.shape, shape));
  const right = strided(b, shape, repeatingStrides(second.shape, shape));
  return graph.constant(
    left.map((value, i) => compute(value, at(right, i))),
    shape,
  );
}

function numbersOf(node: OnnxNode | undefined): Float32Array | undefined {
  if (node?.operator !== 'Constant' || node.dtype !== 'float32' || !node.raw) return undefined;
  return new Float32Array(node.raw.buffer, node.raw.byteOffset, node.raw.byteLength / 4);
}

/** How far apart neighbours along each axis lie, row-major. */
function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
}

/** The same of an array of shape `from` that is broadcast to `shape`. */
function repeatingStrides(from: readonly number[], shape: readonly number[]): number[] {
  const strides = stridesOf(from);
  const lead = shape.length - from.length;
  return shape.map((_, axis) => (axis < lead || from[axis - lead] === 1 ? 0 : at(strides, axis - lead)));
}

/** An array of this shape, row-major, whose neighbours along each axis lie so far apart in `numbers`. */
function strided(numbers: Float32Array, shape: readonly number[], strides: readonly number[]): Float32Array {
  let rows = Uint32Array.of(0);
  for (const [axis, size] of shape.slice(0, -1).entries()) {
    const [stride, before] = [at(strides, axis), rows];
    rows = new Uint32Array(before.length * size).map((_, i) => at(before, Math.floor(i / size)) + (i % size) * stride);
  }
  const [width, step] = [shape.at(-1) ?? 1, strides.at(-1) ?? 0];
  const found = new Float32Array(rows.length * width);
  for (let i = 0; i < rows.length; i++)
    for (let j = 0; j < width; j++) found[i * width + j] = at(numbers, at(rows, i) + j * step);
  return found;
}
