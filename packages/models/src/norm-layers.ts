import { batchNorm, groupNorm } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { constant, type ParameterShapes, statistic } from './parameter-shape.ts';

export type NormKind = 'none' | 'batch' | 'group';
export const NORM_KINDS: readonly NormKind[] = ['none', 'batch', 'group'];

/** Hears of a running statistic's next value, by the name of the parameter that holds it. */
export type RecordStatistic = (name: string, value: Tensor) => void;

/** A kind of normalisation: its parameters, and what it makes of `[batch, height, width, channels]`. */
interface NormLayer {
  parameters(name: string, channels: number): ParameterShapes;
  apply(x: Tensor, name: string, parameter: (name: string) => Tensor, record: RecordStatistic | undefined): Tensor;
}

/** Added to variances, as in both papers' implementations. */
const EPSILON = 1e-5;
/** How far one batch moves the running statistics, as in PyTorch. */
const MOMENTUM = 0.1;
/** Groups of channels; every normalised width of the zoo is a multiple of it. */
const GROUPS = 8;

/**
 * Ioffe and Szegedy, arXiv 1502.03167. In training mode a channel is normalised by its mean and (biased) variance over the batch, and derivatives
 * run through both: a sample's input gradient then depends on its batch. The running variance takes the unbiased one, as PyTorch does.
 */
const batch: NormLayer = {
  parameters: (name, channels) => ({
    ...affine(name, channels),
    [`${name}.mean`]: statistic([channels], 0),
    [`${name}.variance`]: statistic([channels], 1),
  }),
  apply(x, name, parameter, record) {
    const [scale, offset] = [parameter(`${name}.scale`), parameter(`${name}.offset`)];
    const running = { mean: parameter(`${name}.mean`), variance: parameter(`${name}.variance`) };
    if (!record) {
      const factor = tf.mul(scale, tf.rsqrt(tf.add(running.variance, EPSILON)));
      return tf.add(tf.mul(x, factor), tf.sub(offset, tf.mul(running.mean, factor)));
    }
    const { value, mean, variance } = batchNorm(x, { scale, offset, epsilon: EPSILON });
    const count = x.size / scale.size;
    record(`${name}.mean`, moved(running.mean, mean));
    record(`${name}.variance`, moved(running.variance, tf.mul(variance, count / Math.max(1, count - 1))));
    return value;
  },
};

/** Wu and He, arXiv 1803.08494: a sample's channels in 8 groups, each with its own mean and variance. The same in both modes. */
const group: NormLayer = {
  parameters: affine,
  apply(x, name, parameter) {
    const [scale, offset] = [parameter(`${name}.scale`), parameter(`${name}.offset`)];
    return groupNorm(x, GROUPS, { scale, offset, epsilon: EPSILON });
  },
};

const none: NormLayer = { parameters: () => ({}), apply: (x) => x };

export const NORM_LAYERS: Readonly<Record<NormKind, NormLayer>> = { none, batch, group };

function affine(name: string, channels: number): ParameterShapes {
  return { [`${name}.scale`]: constant([channels], 1), [`${name}.offset`]: constant([channels], 0) };
}

function moved(running: Tensor, value: Tensor): Tensor {
  return tf.add(tf.mul(running, 1 - MOMENTUM), tf.mul(value, MOMENTUM));
}
