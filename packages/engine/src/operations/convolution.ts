import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import { type Attributes, fillValue, type Node } from '../graph.ts';
import { convolve, type Geometry } from '../onnx/convolution.ts';
import { convolveFilterGradient } from '../onnx/filter-gradient.ts';
import { at } from '../onnx/graph.ts';
import { convolveInputGradient } from '../onnx/input-gradient.ts';
import { dimensions4 } from '../onnx/layout.ts';
import { type AddNode, composite, type Operation, primitive } from './operation.ts';
import { fillNode, pair, runKernel } from './rules.ts';
import { real, type Sample, sample } from './samples.ts';
import type { Padding } from './windows.ts';

/** TensorFlow.js' attributes and `groups`; once inferred, `strides` is a pair, `pad` is explicit and `dilations` are 1. */
type ConvAttributes = {
  strides: number | readonly number[];
  pad: Padding;
  dataFormat?: string;
  dilations?: number | readonly number[];
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
  /** Each of so many groups of neighbouring channels makes its share of the output channels: a filter is [kh, kw, C / groups, O]. */
  groups?: number;
  inputShape?: readonly number[];
  filterShape?: readonly number[];
};

/** Shape of the result of the convolution and its attributes with explicit strides and paddings. */
function convolutionOf(kernel: string, x: readonly number[], filter: readonly number[], attributes: ConvAttributes) {
  const { strides, pad, dilations = 1, dataFormat = 'NHWC', dimRoundingMode, groups = 1 } = attributes;
  if (dataFormat !== 'NHWC')
    throw new EngineError('UNSUPPORTED_OPERATION', `${kernel} of ${dataFormat} images: only NHWC`);
  const images = dimensions4(x);
  const window = dimensions4(filter);
  if (images[3] !== window[2] * groups || window[3] % groups !== 0)
    throw new EngineError(
      'SHAPE_MISMATCH',
      `${kernel} in ${groups} groups: images [${x}] have ${images[3]} channels, the filter [${filter}] takes ${window[2]} and makes ${window[3]}`,
    );
  const info = tf.backend_util.computeConv2DInfo(
    images,
    window,
    strides as number | [number, number],
    dilations as number | [number, number],
    pad as 'same',
    dimRoundingMode,
  );
  const { top, bottom, left, right } = info.padInfo;
  const normal = {
    strides: [info.strideHeight, info.strideWidth],
    pad: [
      [0, 0],
      [top, bottom],
      [left, right],
      [0, 0],
    ],
    dataFormat: 'NHWC',
    dilations: 1,
    groups,
  };
  return { shape: info.outShape, attributes: normal };
}

/** The attributes that the three convolution kernels share. */
function geometryAttributes({ strides, pad, groups }: ConvAttributes): Attributes {
  return { strides, pad, dataFormat: 'NHWC', dilations: 1, groups };
}

function geometryOf({ strides, pad, groups = 1 }: ConvAttributes): Geometry {
  const [sh, sw] = pair(strides as readonly number[]);
  const [, y, x] = pad as readonly (readonly number[])[];
  const [before, after] = [[at(y ?? [], 0), at(x ?? [], 0)] as const, [at(y ?? [], 1), at(x ?? [], 1)] as const];
  return { strides: [sh, sw], before, after, groups };
}

function simplifyZero({ inputs, shape, dtype }: Pick<Node, 'inputs' | 'shape' | 'dtype'>, add: AddNode) {
  return inputs.some((input) => fillValue(input) === 0) ? fillNode(add, shape, 0, dtype) : undefined;
}

/** Vertical and horizontal distance of a filter's taps; `undefined` if they are neighbours. */
function dilationsOf({ dilations = 1 }: ConvAttributes): readonly number[] | undefined {
  const both = typeof dilations === 'number' ? [dilations, dilations] : dilations;
  return both.every((dilation) => dilation === 1) ? undefined : both;
}

/** A dilated filter is a filter with zeros between its taps. */
function spreadTaps(filter: tf.Tensor, dilations: readonly number[]): tf.Tensor {
  const [kh, kw, channelsIn, channelsOut] = dimensions4(filter.shape);
  const [dh, dw] = pair(dilations);
  const split = tf.reshape(filter, [kh, 1, kw, 1, channelsIn, channelsOut]);
  const padded = tf.pad(split, [
    [0, 0],
    [0, dh - 1],
    [0, 0],
    [0, dw - 1],
    [0, 0],
    [0, 0],
  ]);
  const grid = tf.reshape(padded, [kh * dh, kw * dw, channelsIn, channelsOut]);
  return tf.slice(grid, [0, 0, 0, 0], [(kh - 1) * dh + 1, (kw - 1) * dw + 1, channelsIn, channelsOut]);
}

/** Every channel `times` times: [N, H, W, C] -> [N, H, W, C * times]. */
function repeatChannels(x: tf.Tensor, times: number): tf.Tensor {
  const [n, height, width, channels] = dimensions4(x.shape);
  return tf.reshape(tf.tile(tf.expandDims(x, -1), [1, 1, 1, 1, times]), [n, height, width, channels * times]);
}

/** TensorFlow.js' kernels know no groups: one of the three convolutions with both inputs of each group by themselves. */
export function convolveByGroups(
  kernel: string,
  inputs: Readonly<Record<string, tf.Tensor>>,
  { groups = 1, inputShape, filterShape, ...shared }: ConvAttributes,
): tf.Tensor {
  const share = (shape?: readonly number[]) => shape && [...shape.slice(0, -1), at(shape, shape.length - 1) / groups];
  const ofEach = { inputShape: share(inputShape), filterShape: share(filterShape) };
  const parts = Object.entries(inputs).map(([name, input]) => [name, tf.split(input, groups, 3)] as const);
  const results = Array.from({ length: groups }, (_, i) => {
    const own = Object.fromEntries(parts.map(([name, part]) => [name, part[i] as tf.Tensor]));
    return runKernel(kernel, own, { ...shared, ...ofEach });
  });
  return tf.concat(results, 3);
}

const conv =
  (strides: number | [number, number], pad: Padding, dilations = 1) =>
  (x: tf.Tensor, w: tf.Tensor) =>
    tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, strides, pad as 'same', 'NHWC', dilations);

const depthwise = (strides: number | [number, number], pad: Padding) => (x: tf.Tensor, w: tf.Tensor) =>
  tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, strides, pad as 'same');

const explicit: Padding = [
  [0, 0],
  [1, 2],
  [0, 1],
  [0, 0],
];
/** Squared, since a bilinear function alone has no second derivative in one operand. */
const conv2dSamples: Sample[] = [
  sample([real([2, 5, 6, 3]), real([3, 3, 3, 4])], (x, w) => tf.square(conv(1, 'same')(x, w))),
  sample([real([2, 6, 6, 2]), real([3, 2, 2, 3])], (x, w) => tf.square(conv(2, 'valid')(x, w))),
  sample([real([1, 6, 5, 16]), real([3, 3, 16, 16])], (x, w) => tf.square(conv([2, 1], 'same')(x, w)), {
    tolerance: 1e-4,
  }),
  sample([real([2, 5, 4, 2]), real([3, 3, 2, 2])], (x, w) => tf.square(conv(1, explicit)(x, w))),
  sample([real([2, 7, 7, 2]), real([3, 3, 2, 2])], (x, w) => tf.square(conv(1, 'same', 2)(x, w))),
];

export const convolutions = {
  Conv2D: primitive<ConvAttributes>({
    inputs: ['x', 'filter'],
    compose(inputs, attributes) {
      const [x, filter] = pair(inputs);
      const dilations = dilationsOf(attributes);
      if (dilations)
        return runKernel('Conv2D', { x, filter: spreadTaps(filter, dilations) }, { ...attributes, dilations: 1 });
      // one channel a group that makes several: so many copies of it, since one that makes one has a kernel of its own
      const { groups = 1 } = attributes;
      const outputs = at(filter.shape, 3);
      if (groups === 1 || groups !== x.shape[3] || outputs === groups || outputs % groups !== 0) return undefined;
      return runKernel(
        'Conv2D',
        { x: repeatChannels(x, outputs / groups), filter },
        { ...attributes, groups: outputs },
      );
    },
    infer(inputs, attributes) {
      const [x, filter] = pair(inputs);
      return { ...convolutionOf('Conv2D', x.shape, filter.shape, attributes), dtype: 'float32' };
    },
    simplify: simplifyZero,
    gradient({ dy, inputs, attributes }) {
      const [x, filter] = pair(inputs);
      const shared = geometryAttributes(attributes);
      return [
        () => runKernel('Conv2DBackpropInput', { dy, filter }, { ...shared, inputShape: x.shape }),
        () => runKernel('Conv2DBackpropFilter', { x, dy }, { ...shared, filterShape: filter.shape }),
      ];
    },
    lower: (graph, inputs, { shape, attributes }) => convolve(graph, ...pair(inputs), geometryOf(attributes), shape),
    evaluate(inputs, attributes) {
      const [x, filter] = pair(inputs);
      return convolveByGroups('Conv2D', { x, filter }, attributes);
    },
    samples: conv2dSamples,
  }),
  // Linear in both operands, like the convolution that it comes from: so its derivatives are the other two
  Conv2DBackpropInput: primitive<ConvAttributes>({
    inputs: ['dy', 'filter'],
    compose(inputs, attributes) {
      const [dy, filter] = pair(inputs);
      const dilations = dilationsOf(attributes);
      if (!dilations) return undefined;
      const operands = { dy, filter: spreadTaps(filter, dilations) };
      return runKernel('Conv2DBackpropInput', operands, { ...attributes, dilations: 1 });
    },
    infer(inputs, attributes) {
      const inputShape = attributes.inputShape ?? [];
      const convolution = convolutionOf('Conv2DBackpropInput', inputShape, pair(inputs)[1].shape, attributes);
      return { shape: inputShape, dtype: 'float32', attributes: { ...convolution.attributes, inputShape } };
    },
    simplify: simplifyZero,
    gradient({ dy: d, inputs, attributes }) {
      const [dy, filter] = pair(inputs);
      const shared = geometryAttributes(attributes);
      return [
        () => runKernel('Conv2D', { x: d, filter }, shared),
        () => runKernel('Conv2DBackpropFilter', { x: d, dy }, { ...shared, filterShape: filter.shape }),
      ];
    },
    lower: (graph, inputs, { shape, attributes }) =>
      convolveInputGradient(graph, ...pair(inputs), geometryOf(attributes), shape),
    evaluate(inputs, attributes) {
      const [dy, filter] = pair(inputs);
      return convolveByGroups('Conv2DBackpropInput', { dy, filter }, attributes);
    },
    samples: [
      sample([real([2, 3, 3, 2]), real([3, 3, 4, 2])], (dy, w) =>
        tf.square(tf.conv2dTranspose(dy as tf.Tensor4D, w as tf.Tensor4D, [2, 6, 6, 4], 2, 'same')),
      ),
    ],
  }),
  Conv2DBackpropFilter: primitive<ConvAttributes>({
    inputs: ['x', 'dy'],
    infer(inputs, attributes) {
      const filterShape = attributes.filterShape ?? [];
      const convolution = convolutionOf('Conv2DBackpropFilter', pair(inputs)[0].shape, filterShape, attributes);
      return { shape: filterShape, dtype: 'float32', attributes: { ...convolution.attributes, filterShape } };
    },
    simplify: simplifyZero,
    gradient({ dy: d, inputs, attributes }) {
      const [x, dy] = pair(inputs);
      const shared = geometryAttributes(attributes);
      return [
        () => runKernel('Conv2DBackpropInput', { dy, filter: d }, { ...shared, inputShape: x.shape }),
        () => runKernel('Conv2D', { x, filter: d }, shared),
      ];
    },
    lower: (graph, inputs, { shape, attributes }) =>
      convolveFilterGradient(graph, ...pair(inputs), geometryOf(attributes), shape),
    evaluate(inputs, attributes) {
      const [x, dy] = pair(inputs);
      return convolveByGroups('Conv2DBackpropFilter', { x, dy }, attributes);
    },
    samples: [
      sample([real([2, 5, 5, 3]), real([2, 3, 3, 2])], (x, dy) =>
        tf.square(
          runKernel(
            'Conv2DBackpropFilter',
            { x, dy },
            { strides: [2, 2], pad: 'same', dataFormat: 'NHWC', filterShape: [3, 3, 3, 2] },
          ),
        ),
      ),
    ],
  }),
  // filters [kh, kw, C, m] are those of a convolution in C groups
  DepthwiseConv2dNative: composite<ConvAttributes>({
    inputs: ['x', 'filter'],
    compose(inputs, attributes) {
      const [x, filter] = pair(inputs);
      const [kh, kw, channels, multiplier] = dimensions4(filter.shape);
      const grouped = tf.reshape(filter, [kh, kw, 1, channels * multiplier]);
      return runKernel('Conv2D', { x, filter: grouped }, { ...attributes, groups: channels });
    },
    samples: [
      sample([real([2, 5, 4, 3]), real([3, 3, 3, 2])], (x, w) => tf.square(depthwise(1, 'same')(x, w))),
      sample([real([2, 5, 5, 2]), real([2, 2, 2, 1])], (x, w) => tf.square(depthwise(2, 'valid')(x, w))),
      sample([real([2, 5, 6, 16]), real([3, 3, 16, 1])], (x, w) => tf.square(depthwise(2, explicit)(x, w))),
      sample([real([1, 4, 4, 18]), real([2, 3, 18, 1])], (x, w) => tf.square(depthwise([2, 1], 'same')(x, w))),
    ],
  }),
} satisfies Record<string, Operation>;
