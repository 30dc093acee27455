import { type Node, sameShape } from '../graph.ts';
import { at } from '../onnx/graph.ts';
import { dimensions4 } from '../onnx/layout.ts';
import { pair } from '../operations/rules.ts';
import type { Attributes, TensorflowGraph } from './graph.ts';
import { type Operand, plain } from './operand.ts';

/** Paddings [before, after] of the four axes of NHWC images, as the graph has them. */
type Paddings = readonly (readonly number[])[];
type Shape = readonly number[];

// TensorFlow hands the gradients of convolutions to oneDNN with the paddings SAME and VALID only (ONEDNN_VERBOSE=1 shows it); with EXPLICIT ones it
// takes kernels of its own, which need several times as long. So paddings that are those of SAME are called that, and others are made by hand.

type Row = (graph: TensorflowGraph, inputs: readonly Operand[], node: Node) => string;

export const convolve = inGroups((graph, inputs, node) => {
  const [x, filter] = pair(inputs);
  const { padding, paddings } = paddingOf(node, x.shape, filter.shape, node.shape);
  return graph.node(node.kernel, [pad(graph, x.full(), paddings), filter.full()], attributesOf(node, padding));
});

export const convolveFilterGradient = inGroups((graph, inputs, node) => {
  const [x, dy] = pair(inputs);
  const { padding, paddings } = paddingOf(node, x.shape, node.shape, dy.shape);
  const operands = [pad(graph, x.full(), paddings), graph.integers(node.shape), dy.full()];
  return graph.node(node.kernel, operands, attributesOf(node, padding));
});

export const convolveInputGradient = inGroups((graph, inputs, node) => {
  const [dy, filter] = pair(inputs);
  const { padding, paddings } = paddingOf(node, node.shape, filter.shape, dy.shape);
  const padded = node.shape.map((dimension, axis) => dimension + sum(paddings[axis] ?? []));
  const operands = [graph.integers(padded), filter.full(), dy.full()];
  const gradient = graph.node(node.kernel, operands, attributesOf(node, padding));
  if (sameShape(padded, node.shape)) return gradient;
  const begin = graph.integers(node.shape.map((_, axis) => at(paddings[axis] ?? [0], 0)));
  const bounds = [gradient, begin, graph.integers(node.shape)];
  return graph.node('Slice', bounds, { T: { type: 'float32' }, Index: { type: 'int32' } });
});

/**
 * A convolution with groups, by the row of one without. TensorFlow has kernels for depthwise ones of equal strides; of others it lacks the gradients on
 * CPUs, so their groups are taken one by one.
 */
function inGroups(row: Row): Row {
  return (graph, inputs, node) => {
    const groups = node.attributes.groups as number;
    if (groups === 1) return row(graph, inputs, node);
    const ofFilter = node.kernel === 'Conv2DBackpropFilter';
    const [first, second] = pair(inputs);
    const [kh, kw, channelsIn, channelsOut] = dimensions4(ofFilter ? node.shape : second.shape);
    const [vertical, horizontal] = node.attributes.strides as Shape;
    if (channelsIn === 1 && channelsOut === groups && vertical === horizontal) {
      const shape = [kh, kw, groups, 1];
      const kernel = node.kernel.replace('Conv2D', 'DepthwiseConv2dNative');
      if (ofFilter) return graph.reshape(row(graph, inputs, { ...node, kernel, shape }), node.shape, 'float32');
      const filter = plain(graph.reshape(second.full(), shape, 'float32'), shape, 'float32');
      return row(graph, [first, filter], { ...node, kernel });
    }
    const own = (shape: Shape) => [...shape.slice(0, -1), at(shape, 3) / groups];
    const parts = inputs.map((input) => split(graph, input.full(), groups));
    const results = Array.from({ length: groups }, (_, i) => {
      const operands = inputs.map(({ shape }, j) => plain(parts[j]?.[i] ?? '', own(shape), 'float32'));
      return row(graph, operands, { ...node, shape: own(node.shape), attributes: { ...node.attributes, groups: 1 } });
    });
    const attributes: Attributes = { N: { integer: groups }, T: { type: 'float32' }, Tidx: { type: 'int32' } };
    return graph.node('ConcatV2', [...results, graph.scalar(3, 'int32')], attributes);
  };
}

/** The parts of a value along its last axis of four. */
function split(graph: TensorflowGraph, value: string, count: number): string[] {
  const attributes: Attributes = { T: { type: 'float32' }, num_split: { integer: count } };
  const name = graph.node('Split', [graph.scalar(3, 'int32'), value], attributes);
  return Array.from({ length: count }, (_, i) => (i === 0 ? name : `${name}:${i}`));
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
