import type { Graph, Node } from './graph.ts';
import { sizeOf } from './ndarray.ts';

/**
 * Floating-point operations of a graph's convolutions and matrix products, where a multiplication and its addition are two. Taps that fall on padding
 * count, element-wise work does not: it is the customary figure, and for convolutional networks nearly all of the work.
 */
export function graphFlops({ nodes }: Graph): number {
  return nodes.reduce((sum, node) => sum + (FLOPS[node.kernel]?.(node) ?? 0), 0);
}

const FLOPS: Readonly<Record<string, (node: Node) => number>> = {
  Conv2D: ({ inputs, shape }) => convolution(shape, inputs[1]?.shape),
  Conv2DBackpropInput: ({ inputs: [dy, filter] }) => convolution(dy?.shape, filter?.shape),
  Conv2DBackpropFilter: ({ inputs: [, dy], shape }) => convolution(dy?.shape, shape),
  BatchMatMul: ({ inputs: [a], attributes, shape }) =>
    2 * sizeOf(shape) * (a?.shape.at(attributes.transposeA ? -2 : -1) ?? 0),
};

/** Every number of `[batch, height, width, out]` meets a filter `[height, width, in, out]` once. */
function convolution(images: readonly number[] = [0], filter: readonly number[] = [0]): number {
  return 2 * sizeOf(images) * sizeOf(filter.slice(0, -1));
}
