import type { Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { ModelError } from './errors.ts';

/** Shape of one parameter and the scale of its first values: standard deviation `gain * sqrt(2 / fanIn)`; gain 0 is all zeros. */
export interface ParameterShape {
  readonly shape: readonly number[];
  readonly fanIn: number;
  readonly gain: number;
}

export type ParameterShapes = Readonly<Record<string, ParameterShape>>;

const ACTIVATIONS = {
  relu: (x: Tensor): Tensor => tf.relu(x),
  softplus: (x: Tensor): Tensor => tf.softplus(x),
  tanh: (x: Tensor): Tensor => tf.tanh(x),
} as const;

/** `softplus` and `tanh` make a smooth network, which finite differences and attacks on explanations need. */
export type Activation = keyof typeof ACTIVATIONS;
export const ACTIVATION_NAMES: readonly Activation[] = ['relu', 'softplus', 'tanh'];

/** The layers of one forward pass, bound to its parameters. */
export interface Layers {
  /** Convolution with `same` padding and bias; weight `[kernel, kernel, in, out]`. */
  conv(x: Tensor, name: string, stride: number): Tensor;
  /** `x weight + bias`; weight `[in, out]`. */
  dense(x: Tensor, name: string): Tensor;
  activate(x: Tensor): Tensor;
  /** `[batch, height, width, channels]` to `[batch, height * width * channels]`. */
  flatten(x: Tensor): Tensor;
}

export function bindLayers(parameters: Readonly<Record<string, Tensor>>, activation: Activation): Layers {
  const parameter = (name: string): Tensor => {
    const value = parameters[name];
    if (value === undefined) throw new ModelError('PARAMETER_MISMATCH', name, `the parameter ${name} is missing`);
    return value;
  };
  return {
    conv: (x, name, stride) =>
      tf.add(
        tf.conv2d(x as Tensor4D, parameter(`${name}.weight`) as Tensor4D, stride, 'same'),
        parameter(`${name}.bias`),
      ),
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
  const fanIn = kernel * kernel * channels;
  return layer(name, [kernel, kernel, channels, filters], fanIn, gain);
}

/** Parameters of a fully connected layer named `name`. */
export function fullyConnected(name: string, inputs: number, outputs: number, gain = 1): ParameterShapes {
  return layer(name, [inputs, outputs], inputs, gain);
}

/** The last layer: no rectifier follows it, so that a gain of sqrt(1/2) keeps the variance of its inputs. */
export function logitLayer(inputs: number, classes: number): ParameterShapes {
  return fullyConnected('logits', inputs, classes, Math.SQRT1_2);
}

function layer(name: string, shape: readonly number[], fanIn: number, gain: number): ParameterShapes {
  const outputs = shape.at(-1) ?? 0;
  return { [`${name}.weight`]: { shape, fanIn, gain }, [`${name}.bias`]: { shape: [outputs], fanIn, gain: 0 } };
}
