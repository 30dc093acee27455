import type { Graph, Node } from './graph.ts';
import { sizeOf } from './ndarray.ts';

type Count = (node: Node) => number;

/** Every number of `[batch, height, width, out]` meets a filter `[height, width, in, out]` once. */
const convolution = (images: readonly number[] = [0], filter: readonly number[] = [0]) =>
  2 * sizeOf(images) * sizeOf(filter.slice(0, -1));

/** Convolutions and matrix products: a multiplication and its addition are two, and taps that fall on padding count. */
const PRODUCTS: Readonly<Record<string, Count>> = {
  Conv2D: ({ inputs, shape }) => convolution(shape, inputs[1]?.shape),
  Conv2DBackpropInput: ({ inputs: [dy, filter] }) => convolution(dy?.shape, filter?.shape),
  Conv2DBackpropFilter: ({ inputs: [, dy], shape }) => convolution(dy?.shape, shape),
  BatchMatMul: ({ inputs: [a], attributes, shape }) =>
    2 * sizeOf(shape) * (a?.shape.at(attributes.transposeA ? -2 : -1) ?? 0),
};

const ofInput: Count = ({ inputs }) => sizeOf(inputs[0]?.shape ?? []);
/** One for each number that is read. */
const REDUCTIONS = ['Sum', 'Mean', 'Max', 'Min', 'ArgMax', 'ArgMin', 'MaxPool', 'AvgPool', 'Cumsum', 'TopKIndices'];
/** Only move numbers. */
const MOVES = [
  ...['Input', 'Constant', 'Fill', 'Identity', 'Cast', 'Reshape', 'Transpose', 'Tile', 'Concat', 'Slice', 'PadV2'],
  ...['Reverse', 'GatherV2', 'ScatterNd', 'ResizeNearestNeighbor'],
];

const COUNTS: Readonly<Record<string, Count>> = {
  ...PRODUCTS,
  ...Object.fromEntries(REDUCTIONS.map((kernel) => [kernel, ofInput])),
  ...Object.fromEntries(MOVES.map((kernel) => [kernel, () => 0])),
};

/** Floating-point operations of a node; an element-wise function is one for each number. */
export function flopsOf(node: Node): number {
  return COUNTS[node.kernel]?.(node) ?? sizeOf(node.shape);
}

/**
 * Floating-point operations of a graph's convolutions and matrix products alone: the customary figure, and for convolutional networks nearly all of
 * the work.
 */
export function graphFlops({ nodes }: Graph): number {
  return nodes.reduce((sum, node) => sum + (PRODUCTS[node.kernel]?.(node) ?? 0), 0);
}
