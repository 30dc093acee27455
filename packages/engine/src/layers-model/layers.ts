import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import { elu, gelu, silu } from '../layers/activation.ts';
import { exactRelu, runKernel } from '../operations/rules.ts';

/** One layer of Keras while it is applied: its configuration, its weights, its inputs. */
export interface LayerCall {
  readonly className: string;
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly inputs: readonly tf.Tensor[];
  /** Whether Keras wrote the model, and not TensorFlow.js. */
  readonly isKeras: boolean;
  /** @throws EngineError MALFORMED_FILE if the file has no such weight */
  weight(name: string): tf.Tensor;
}

export type Layer = (call: LayerCall) => tf.Tensor;

function fail(call: LayerCall, message: string): EngineError {
  return new EngineError('UNSUPPORTED_OPERATION', `layer '${call.name}' (${call.className}): ${message}`);
}

function first(call: LayerCall): tf.Tensor {
  const input = call.inputs[0];
  if (input) return input;
  throw new EngineError('MALFORMED_FILE', `layer '${call.name}' (${call.className}) has no input`);
}

// configurations are foreign JSON: each entry is checked where it is read
function number(call: LayerCall, name: string, fallback?: number): number {
  const value = call.config[name] ?? fallback;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw fail(call, `${name} is ${JSON.stringify(value)}, not a number`);
}

function flag(call: LayerCall, name: string, fallback: boolean): boolean {
  const value = call.config[name] ?? fallback;
  if (typeof value === 'boolean') return value;
  throw fail(call, `${name} is ${JSON.stringify(value)}, neither true nor false`);
}

const LARGEST = 512;

/** A number for each side, given as one number or as two. */
function sides(call: LayerCall, name: string, fallback = 1): [number, number] {
  const value = call.config[name] ?? fallback;
  const [height, width] = Array.isArray(value) ? value : [value, value];
  for (const side of [height, width])
    if (!Number.isInteger(side) || side < 0 || side > LARGEST)
      throw fail(call, `${name} is ${JSON.stringify(value)}; one or two whole numbers up to ${LARGEST} are allowed`);
  return [height as number, width as number];
}

function padding(call: LayerCall): 'same' | 'valid' {
  const value = call.config.padding ?? 'valid';
  if (value === 'same' || value === 'valid') return value;
  throw fail(call, `padding is ${JSON.stringify(value)}; there are 'same' and 'valid'`);
}

/** Activations by Keras' names, their words joined as TensorFlow.js does it. */
const ACTIVATIONS: Readonly<Record<string, (x: tf.Tensor) => tf.Tensor>> = {
  elu: (x) => tf.elu(x),
  exponential: (x) => tf.exp(x),
  gelu: (x) => gelu(x),
  hardSigmoid: (x) => tf.clipByValue(tf.add(tf.mul(x, 0.2), 0.5), 0, 1),
  linear: (x) => x,
  mish: (x) => tf.mul(x, tf.tanh(tf.softplus(x))),
  relu: (x) => tf.relu(x),
  relu6: (x) => tf.relu6(x),
  selu: (x) => tf.selu(x),
  sigmoid: (x) => tf.sigmoid(x),
  silu,
  softmax: (x) => tf.softmax(x),
  softplus: (x) => tf.softplus(x),
  softsign: (x) => tf.div(x, tf.add(1, tf.abs(x))),
  swish: silu,
  tanh: (x) => tf.tanh(x),
};

function activated(call: LayerCall, x: tf.Tensor): tf.Tensor {
  const given = String(call.config.activation ?? 'linear');
  const name = given.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const activation = Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
  if (activation) return activation(x);
  throw fail(call, `its activation is '${given}'; there are ${Object.keys(ACTIVATIONS).join(', ')}`);
}

function checkFormat(call: LayerCall): void {
  const format = (call.config.data_format ?? call.config.dataFormat ?? 'channels_last') as string;
  if (format !== 'channels_last' && format !== 'channelsLast')
    throw fail(call, `images are ${format}; only channels_last`);
}

function withBias(call: LayerCall, x: tf.Tensor): tf.Tensor {
  return activated(call, flag(call, 'use_bias', true) ? tf.add(x, call.weight('bias')) : x);
}

function windowAttributes(call: LayerCall) {
  checkFormat(call);
  return {
    strides: sides(call, 'strides'),
    pad: padding(call),
    dilations: sides(call, 'dilation_rate'),
    dataFormat: 'NHWC',
  };
}

function convolve(call: LayerCall): tf.Tensor {
  const operands = { x: first(call), filter: call.weight('kernel') };
  const attributes = { ...windowAttributes(call), groups: number(call, 'groups', 1) };
  return withBias(call, runKernel('Conv2D', operands, attributes));
}

function depthwise(call: LayerCall, name: string): tf.Tensor {
  return runKernel('DepthwiseConv2dNative', { x: first(call), filter: call.weight(name) }, windowAttributes(call));
}

function separable(call: LayerCall): tf.Tensor {
  const x = depthwise(call, 'depthwise_kernel');
  const attributes = { strides: [1, 1], pad: 'valid', dilations: 1, dataFormat: 'NHWC' };
  return withBias(call, runKernel('Conv2D', { x, filter: call.weight('pointwise_kernel') }, attributes));
}

function convolveTransposed(call: LayerCall): tf.Tensor {
  checkFormat(call);
  const [x, filter] = [first(call) as tf.Tensor4D, call.weight('kernel') as tf.Tensor4D];
  const [strides, kernel, pad] = [sides(call, 'strides'), sides(call, 'kernel_size'), padding(call)];
  if (sides(call, 'dilation_rate').some((rate) => rate !== 1) || (call.config.output_padding ?? null) !== null)
    throw fail(call, 'dilation_rate and output_padding are not supported');
  const length = (i: 0 | 1) => {
    const stretched = (x.shape[i + 1] ?? 1) * strides[i];
    return pad === 'same' ? stretched : stretched + Math.max(0, kernel[i] - strides[i]);
  };
  const inputShape = [x.shape[0], length(0), length(1), filter.shape[2]];
  return withBias(
    call,
    runKernel('Conv2DBackpropInput', { dy: x, filter }, { strides, pad, dataFormat: 'NHWC', inputShape }),
  );
}

function dense(call: LayerCall): tf.Tensor {
  const x = first(call);
  const kernel = call.weight('kernel') as tf.Tensor2D;
  const flat = tf.reshape(x, [-1, x.shape.at(-1) ?? 1]) as tf.Tensor2D;
  return withBias(call, tf.reshape(tf.matMul(flat, kernel), [...x.shape.slice(0, -1), kernel.shape[1]]));
}

/** The only axis of a layer that has one. */
function lastAxis(call: LayerCall, x: tf.Tensor): void {
  const given = call.config.axis ?? -1;
  const axis = Array.isArray(given) ? given[0] : given;
  if ((axis !== -1 && axis !== x.rank - 1) || (Array.isArray(given) && given.length !== 1))
    throw fail(call, `its axis is ${JSON.stringify(given)}; only the last one is supported`);
}

function scaledAndCentred(call: LayerCall, normal: tf.Tensor): tf.Tensor {
  const scaled = flag(call, 'scale', true) ? tf.mul(normal, call.weight('gamma')) : normal;
  return flag(call, 'center', true) ? tf.add(scaled, call.weight('beta')) : scaled;
}

function batchNormalization(call: LayerCall): tf.Tensor {
  const x = first(call);
  lastAxis(call, x);
  const deviation = tf.rsqrt(tf.add(call.weight('moving_variance'), number(call, 'epsilon', 1e-3)));
  return scaledAndCentred(call, tf.mul(tf.sub(x, call.weight('moving_mean')), deviation));
}

function layerNormalization(call: LayerCall): tf.Tensor {
  const x = first(call);
  lastAxis(call, x);
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  return scaledAndCentred(call, tf.mul(centred, tf.rsqrt(tf.add(variance, number(call, 'epsilon', 1e-3)))));
}

function pool(kernel: 'MaxPool' | 'AvgPool'): Layer {
  return (call) => {
    checkFormat(call);
    const filterSize = sides(call, 'pool_size', 2);
    const strides = call.config.strides ? sides(call, 'strides') : filterSize;
    return runKernel(kernel, { x: first(call) }, { filterSize, strides, pad: padding(call) });
  };
}

function globalPool(reduce: (x: tf.Tensor, axes: number[], keepDims: boolean) => tf.Tensor): Layer {
  return (call) => {
    checkFormat(call);
    return reduce(first(call), [1, 2], flag(call, 'keepdims', false));
  };
}

/** Rows and columns before and after: one number, one for each axis, or both ends of each axis. */
function borders(call: LayerCall, name: string): [[number, number], [number, number]] {
  checkFormat(call);
  const given = call.config[name] ?? 1;
  const axes = Array.isArray(given) ? given : [given, given];
  const ends = axes.map((axis) => (Array.isArray(axis) ? axis : [axis, axis]));
  for (const end of ends.flat())
    if (!Number.isInteger(end) || end < 0 || end > LARGEST) throw fail(call, `${name} is ${JSON.stringify(given)}`);
  const [[top, bottom] = [0, 0], [left, right] = [0, 0]] = ends;
  return [
    [top, bottom],
    [left, right],
  ];
}

function crop(call: LayerCall): tf.Tensor {
  const x = first(call) as tf.Tensor4D;
  const [[top, bottom], [left, right]] = borders(call, 'cropping');
  const [n, height, width, channels] = x.shape;
  return tf.slice(x, [0, top, left, 0], [n, height - top - bottom, width - left - right, channels]);
}

function upsample(call: LayerCall): tf.Tensor {
  checkFormat(call);
  const images = first(call) as tf.Tensor4D;
  const factors = sides(call, 'size', 2);
  const size = [images.shape[1] * factors[0], images.shape[2] * factors[1]];
  const mode = String(call.config.interpolation ?? 'nearest');
  const kernel = { nearest: 'ResizeNearestNeighbor', bilinear: 'ResizeBilinear' }[mode];
  if (!kernel) throw fail(call, `its interpolation is '${mode}'; there are nearest and bilinear`);
  // TensorFlow.js' layers place the pixels of both at whole multiples, Keras at their centres, which only the bilinear mode shows
  const halfPixelCenters = mode === 'bilinear' && call.isKeras;
  return runKernel(kernel, { images }, { size, alignCorners: false, halfPixelCenters });
}

function reluLayer(call: LayerCall): tf.Tensor {
  const x = first(call);
  const [slope, threshold] = [number(call, 'negative_slope', 0), number(call, 'threshold', 0)];
  if (slope !== 0 || threshold !== 0) throw fail(call, 'only a slope and a threshold of 0 are supported');
  const most = call.config.max_value ?? call.config.maxValue ?? null;
  return most === null ? tf.relu(x) : tf.clipByValue(exactRelu(x), 0, Number(most));
}

function merge(f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): Layer {
  return (call) => call.inputs.reduce((a, b) => f(a, b));
}

function targetShape(call: LayerCall): number[] {
  const shape = call.config.target_shape ?? call.config.targetShape;
  if (Array.isArray(shape) && shape.every(Number.isInteger)) return shape as number[];
  throw fail(call, `target_shape is ${JSON.stringify(shape)}`);
}

const same: Layer = (call) => first(call);

/** Every layer that `importLayersModel` knows, by its class; adding one is a row. Only what layers do after training counts. */
export const LAYERS: Readonly<Record<string, Layer>> = {
  Activation: (call) => activated(call, first(call)),
  ActivityRegularization: same,
  Add: merge(tf.add),
  AlphaDropout: same,
  Average: (call) => tf.div(merge(tf.add)(call), call.inputs.length),
  AveragePooling2D: pool('AvgPool'),
  BatchNormalization: batchNormalization,
  Concatenate: (call) => tf.concat([...call.inputs], number(call, 'axis', -1)),
  Conv2D: convolve,
  Conv2DTranspose: convolveTransposed,
  Cropping2D: crop,
  Dense: dense,
  DepthwiseConv2D: (call) => withBias(call, depthwise(call, 'depthwise_kernel')),
  Dropout: same,
  ELU: (call) => elu(first(call), number(call, 'alpha', 1)),
  Flatten: (call) => tf.reshape(first(call), [first(call).shape[0] ?? 1, -1]),
  GaussianDropout: same,
  GaussianNoise: same,
  GlobalAveragePooling2D: globalPool((x, axes, keep) => tf.mean(x, axes, keep)),
  GlobalMaxPooling2D: globalPool((x, axes, keep) => tf.max(x, axes, keep)),
  InputLayer: same,
  LayerNormalization: layerNormalization,
  LeakyReLU: (call) => tf.leakyRelu(first(call), number(call, 'alpha', number(call, 'negative_slope', 0.3))),
  MaxPooling2D: pool('MaxPool'),
  Maximum: merge(tf.maximum),
  Minimum: merge(tf.minimum),
  Multiply: merge(tf.mul),
  PReLU: (call) => tf.prelu(first(call), call.weight('alpha')),
  ReLU: reluLayer,
  Rescaling: (call) => tf.add(tf.mul(first(call), number(call, 'scale')), number(call, 'offset', 0)),
  Reshape: (call) => tf.reshape(first(call), [first(call).shape[0] ?? 1, ...targetShape(call)]),
  SeparableConv2D: separable,
  Softmax: (call) => {
    lastAxis(call, first(call));
    return tf.softmax(first(call));
  },
  SpatialDropout2D: same,
  Subtract: merge(tf.sub),
  UpSampling2D: upsample,
  ZeroPadding2D: (call) => tf.pad(first(call), [[0, 0], ...borders(call, 'padding'), [0, 0]]),
};

/** What `importLayersModel` reads, for documentation. */
export function layerNames(): readonly string[] {
  return Object.keys(LAYERS);
}
