import { type Node, sameShape } from '../graph.ts';
import { at } from '../onnx/graph.ts';
import { pair } from '../operations/rules.ts';
import type { Attributes, TensorflowGraph } from './graph.ts';
import type { Operand } from './operand.ts';

/** Paddings [before, after] of the four axes of NHWC images, as the graph has them. */
type Paddings = readonly (readonly number[])[];
type Shape = readonly number[];

// TensorFlow hands the gradients of convolutions to oneDNN with the paddings SAME and VALID only (ONEDNN_VERBOSE=1 shows it); with EXPLICIT ones it
// takes kernels of its own, which need several times as long. So paddings that are those of SAME are called that, and others are made by hand.

export function convolve(graph: TensorflowGraph, inputs: readonly Operand[], node: Node): string {
  const [x, filter] = pair(inputs);
  const { padding, paddings } = paddingOf(node, x.shape, filter.shape, node.shape);
  return graph.node('Conv2D', [pad(graph, x.full(), paddings), filter.full()], attributesOf(node, padding));
}

export function convolveFilterGradient(graph: TensorflowGraph, inputs: readonly Operand[], node: Node): string {
  const [x, dy] = pair(inputs);
  const { padding, paddings } = paddingOf(node, x.shape, node.shape, dy.shape);
  const operands = [pad(graph, x.full(), paddings), graph.integers(node.shape), dy.full()];
  return graph.node('Conv2DBackpropFilter', operands, attributesOf(node, padding));
}

export function convolveInputGradient(graph: TensorflowGraph, inputs: readonly Operand[], node: Node): string {
  const [dy, filter] = pair(inputs);
  const { padding, paddings } = paddingOf(node, node.shape, filter.shape, dy.shape);
  const padded = node.shape.map((dimension, axis) => dimension + sum(paddings[axis] ?? []));
  const operands = [graph.integers(padded), filter.full(), dy.full()];
  const gradient = graph.node('Conv2DBackpropInput', operands, attributesOf(node, padding));
  if (sameShape(padded, node.shape)) return gradient;
  const begin = graph.integers(node.shape.map((_, axis) => at(paddings[axis] ?? [0], 0)));
  const bounds = [gradient, begin, graph.integers(node.shape)];
  return graph.node('Slice', bounds, { T: { type: 'float32' }, Index: { type: 'int32' } });
}

/** The name of the padding for TensorFlow, and what is to be padded by hand before. */
function paddingOf({ attributes }: Node, images: Shape, filter: Shape, output: Shape) {
  const paddings = attributes.pad as Paddings;
  const strides = attributes.strides as Shape;
  const isSame = [0, 1].every((i) => {
    const [size, taps, count, stride] = [at(images, i + 1), at(filter, i), at(output, i + 1), at(strides, i)];
    const total = Math.max((count - 1) * stride + taps - size, 0);
    const [before, after] = paddings[i + 1] ?? [];
    return count === Math.ceil(size / stride) && before === total >> 1 && after === total - (total >> 1);
  });
  const none = images.map(() => [0, 0]);
  return isSame ? { padding: 'SAME', paddings: none } : { padding: 'VALID', paddings };
}

function attributesOf({ attributes }: Node, padding: string): Attributes {
  return {
    T: { type: 'float32' },
    strides: { integers: [1, ...(attributes.strides as Shape), 1] },
    padding: { text: padding },
    data_format: { text: 'NHWC' },
  };
}

function pad(graph: TensorflowGraph, images: string, paddings: Paddings): string {
  if (paddings.every((width) => sum(width) === 0)) return images;
  const widths = graph.constant(paddings.flat(), [paddings.length, 2], 'int32');
  return graph.node('Pad', [images, widths], { T: { type: 'float32' }, Tpaddings: { type: 'int32' } });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
