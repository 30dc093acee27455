import { gelu, silu } from '@jsigr/engine';
import type { Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { ModelError } from './errors.ts';
import { nonLocalMean } from './non-local-mean.ts';
import { NORM_LAYERS, type NormKind, type RecordStatistic } from './norm-layers.ts';
import { constant, type ParameterShapes } from './parameter-shape.ts';

const ACTIVATIONS = {
  relu: (x: Tensor): Tensor => tf.relu(x),
  softplus: (x: Tensor): Tensor => tf.softplus(x),
  /** Hendrycks and Gimpel, arXiv 1606.08415: x times the normal distribution function of x, exactly (no tanh). */
  gelu: (x: Tensor): Tensor => gelu(x),
  silu,
  tanh: (x: Tensor): Tensor => tf.tanh(x),
} as const;

/** All but `relu` make a smooth network, which finite differences and attacks on explanations need. */
export type Activation = keyof typeof ACTIVATIONS;
export const ACTIVATION_NAMES: readonly Activation[] = ['relu', 'softplus', 'gelu', 'silu', 'tanh'];

/** The layers of one forward pass, bound to its parameters. */
export interface Layers {
  /** Convolution with `same` padding and bias; weight `[kernel, kernel, in, out]`. */
  conv(x: Tensor, name: string, stride: number): Tensor;
  /** The same without a bias, for a norm that follows and has one. */
  filter(x: Tensor, name: string, stride: number): Tensor;
  /** The normalisation layer that the model's spec chooses. */
  norm(x: Tensor, name: string): Tensor;
  /** A filter and the normalisation after it. */
  normedFilter(x: Tensor, name: string, stride: number, norm: string): Tensor;
  /** A feature-denoising block, x + norm(1x1 convolution(non-local mean of x)), where the model's spec asks for them; else x. */
  denoise(x: Tensor, name: string): Tensor;
  /** `x weight + bias`; weight `[in, out]`. */
  dense(x: Tensor, name: string): Tensor;
  activate(x: Tensor): Tensor;
  /** `[batch, height, width, channels]` to `[batch, height * width * channels]`. */
  flatten(x: Tensor): Tensor;
}

export interface LayerOptions {
  readonly activation: Activation;
  readonly norm: NormKind;
  readonly denoise: boolean;
  /** Given: training mode, and this hears of every running statistic's next value. Not given: evaluation mode. */
  readonly record?: RecordStatistic;
}

export function bindLayers(
  parameters: Readonly<Record<string, Tensor>>,
  { activation, norm: kind, denoise, record }: LayerOptions,
): Layers {
  const parameter = (name: string): Tensor => {
    const value = parameters[name];
    if (value === undefined) throw new ModelError('PARAMETER_MISMATCH', name, `the parameter ${name} is missing`);
    return value;
  };
  const convolved = (x: Tensor, weight: Tensor, stride: number): Tensor =>
    tf.conv2d(x as Tensor4D, weight as Tensor4D, stride, 'same');
  const filter = (x: Tensor, name: string, stride: number): Tensor => convolved(x, parameter(`${name}.weight`), stride);
  const { apply, asAffine } = NORM_LAYERS[kind];
  const norm = (x: Tensor, name: string): Tensor => apply(x, name, parameter, record);
  const normedFilter = (x: Tensor, name: string, stride: number, normName: string): Tensor => {
    if (record || !asAffine) return norm(filter(x, name, stride), normName);
    // A few numbers of the filter are multiplied, not every pixel of the image, and the offset is the convolution's bias.
    const { factor, shift } = asAffine(normName, parameter);
    return tf.add(convolved(x, tf.mul(parameter(`${name}.weight`), factor), stride), shift);
  };
  return {
    conv: (x, name, stride) => tf.add(filter(x, name, stride), parameter(`${name}.bias`)),
    filter,
    norm,
    normedFilter,
    denoise: (x, name) => (denoise ? tf.add(x, normedFilter(nonLocalMean(x), name, 1, `${name}.norm`)) : x),
    dense: (x, name) =>
      tf.add(tf.matMul(x as Tensor2D, parameter(`${name}.weight`) as Tensor2D), parameter(`${name}.bias`)),
    activate: ACTIVATIONS[activation],
    flatten: (x) => tf.reshape(x, [x.shape[0] ?? 1, x.size / (x.shape[0] ?? 1)]),
  };
}

/** Parameters of a convolution named `name`. */
export function convolution(
  name: string,
  kernel: number,
  channels: number,
  filters: number,
  gain = 1,
): ParameterShapes {
  return { ...filters2d(name, kernel, channels, filters, gain), ...bias(name, filters) };
}

/** Parameters of a convolution without a bias. */
export function filters2d(name: string, kernel: number, channels: number, filters: number, gain = 1): ParameterShapes {
  return weight(name, [kernel, kernel, channels, filters], kernel * kernel * channels, gain);
}

/** Parameters of a fully connected layer named `name`. */
export function fullyConnected(name: string, inputs: number, outputs: number, gain = 1): ParameterShapes {
  return { ...weight(name, [inputs, outputs], inputs, gain), ...bias(name, outputs) };
}

/** The last layer: no rectifier follows it, so that a gain of sqrt(1/2) keeps the variance of its inputs. */
export function logitLayer(inputs: number, classes: number): ParameterShapes {
  return fullyConnected('logits', inputs, classes, Math.SQRT1_2);
}

/** He et al. 2015: deviation `gain * sqrt(2 / fanIn)`. */
function weight(name: string, shape: readonly number[], fanIn: number, gain: number): ParameterShapes {
  return { [`${name}.weight`]: { shape, mean: 0, deviation: gain * Math.sqrt(2 / fanIn), isStatistic: false } };
}

function bias(name: string, outputs: number): ParameterShapes {
  return { [`${name}.bias`]: constant([outputs], 0) };
}
