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
import { type Padding, windowTaps } from './windows.ts';

/** TensorFlow.js' attributes; once inferred, `strides` is a pair, `pad` is explicit and `dilations` are 1. */
type ConvAttributes = {
  strides: number | readonly number[];
  pad: Padding;
  dataFormat?: string;
  dilations?: number | readonly number[];
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
  inputShape?: readonly number[];
  filterShape?: readonly number[];
};

/** Shape of the result of the convolution and its attributes with explicit strides and paddings. */
function convolutionOf(kernel: string, x: readonly number[], filter: readonly number[], attributes: ConvAttributes) {
  const { strides, pad, dilations = 1, dataFormat = 'NHWC', dimRoundingMode } = attributes;
  if (dataFormat !== 'NHWC')
    throw new EngineError('UNSUPPORTED_OPERATION', `${kernel} of ${dataFormat} images: only NHWC`);
  const images = dimensions4(x);
  const window = dimensions4(filter);
  if (images[3] !== window[2])
    throw new EngineError(
      'SHAPE_MISMATCH',
      `${kernel}: images [${x}] have ${images[3]} channels, the filter [${filter}] wants ${window[2]}`,
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
  };
  return { shape: info.outShape, attributes: normal };
}

/** The attributes that the three convolution kernels share. */
function geometryAttributes({ strides, pad }: ConvAttributes): Attributes {
  return { strides, pad, dataFormat: 'NHWC', dilations: 1 };
}

function geometryOf({ strides, pad }: ConvAttributes): Geometry {
  const [sh, sw] = pair(strides as readonly number[]);
  const [, y, x] = pad as readonly (readonly number[])[];
  return { strides: [sh, sw], before: [at(y ?? [], 0), at(x ?? [], 0)], after: [at(y ?? [], 1), at(x ?? [], 1)] };
}

function simplifyZero({ inputs, shape, dtype }: Pick<Node, 'inputs' | 'shape' | 'dtype'>, add: AddNode) {
  return inputs.some((input) => fillValue(input) === 0) ? fillNode(add, shape, 0, dtype) : undefined;
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

const conv =
  (strides: number | [number, number], pad: Padding, dilations = 1) =>
  (x: tf.Tensor, w: tf.Tensor) =>
    tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, strides, pad as 'same', 'NHWC', dilations);

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
      const given = attributes.dilations ?? 1;
      const dilations = typeof given === 'number' ? [given, given] : given;
      if (dilations.every((d) => d === 1)) return undefined;
      return runKernel('Conv2D', { x, filter: spreadTaps(filter, dilations) }, { ...attributes, dilations: 1 });
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
    samples: conv2dSamples,
  }),
  // Linear in both operands, like the convolution that it comes from: so its derivatives are the other two
  Conv2DBackpropInput: primitive<ConvAttributes>({
    inputs: ['dy', 'filter'],
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
  // one tap at a time: a channel meets only its own filters
  DepthwiseConv2dNative: composite<ConvAttributes>({
    inputs: ['x', 'filter'],
    compose(inputs, attributes) {
      const [x, filter] = pair(inputs);
      const [kh, kw, channels, multiplier] = dimensions4(filter.shape);
      const { taps } = windowTaps(x, [kh, kw], attributes, 0);
      const products = taps.map((tap, i) => {
        const weights = tf.slice(filter, [Math.floor(i / kw), i % kw, 0, 0], [1, 1, channels, multiplier]);
        return tf.mul(tf.expandDims(tap, -1), tf.reshape(weights, [channels, multiplier]));
      });
      const sum = products.reduce((total, product) => tf.add(total, product));
      return tf.reshape(sum, [...sum.shape.slice(0, 3), channels * multiplier]);
    },
    samples: [
      sample([real([2, 5, 4, 3]), real([3, 3, 3, 2])], (x, w) =>
        tf.square(tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same')),
      ),
      sample([real([2, 5, 5, 2]), real([2, 2, 2, 1])], (x, w) =>
        tf.square(tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, 2, 'valid')),
      ),
    ],
  }),
} satisfies Record<string, Operation>;
