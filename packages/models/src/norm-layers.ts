import { batchNorm, groupNorm } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { constant, type ParameterShapes, statistic } from './parameter-shape.ts';

export type NormKind = 'none' | 'batch' | 'group';
export const NORM_KINDS: readonly NormKind[] = ['none', 'batch', 'group'];

/** Hears of a running statistic's next value, by the name of the parameter that holds it. */
export type RecordStatistic = (name: string, value: Tensor) => void;

type Parameter = (name: string) => Tensor;

/** A kind of normalisation: its parameters, and what it makes of `[batch, height, width, channels]`. */
interface NormLayer {
  parameters(name: string, channels: number): ParameterShapes;
  apply(x: Tensor, name: string, parameter: Parameter, record: RecordStatistic | undefined): Tensor;
  /** What it is where it is but a factor and an offset, each `[channels]`: a convolution before it can have both. Absent: it never is. */
  asAffine?(name: string, parameter: Parameter): { readonly factor: Tensor; readonly shift: Tensor };
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
    if (!record) {
      const { factor, shift } = frozen(name, parameter);
      return tf.add(tf.mul(x, factor), shift);
    }
    const [scale, offset] = [parameter(`${name}.scale`), parameter(`${name}.offset`)];
    const { value, mean, variance } = batchNorm(x, { scale, offset, epsilon: EPSILON });
    const count = x.size / scale.size;
    record(`${name}.mean`, moved(parameter(`${name}.mean`), mean));
    const unbiased = tf.mul(variance, count / Math.max(1, count - 1));
    record(`${name}.variance`, moved(parameter(`${name}.variance`), unbiased));
    return value;
  },
  asAffine: frozen,
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

/** Batch normalisation in evaluation mode, by its running statistics. */
function frozen(name: string, parameter: Parameter) {
  const factor = tf.mul(parameter(`${name}.scale`), tf.rsqrt(tf.add(parameter(`${name}.variance`), EPSILON)));
  return { factor, shift: tf.sub(parameter(`${name}.offset`), tf.mul(parameter(`${name}.mean`), factor)) };
}

function affine(name: string, channels: number): ParameterShapes {
  return { [`${name}.scale`]: constant([channels], 1), [`${name}.offset`]: constant([channels], 0) };
}

function moved(running: Tensor, value: Tensor): Tensor {
  return tf.add(tf.mul(running, 1 - MOMENTUM), tf.mul(value, MOMENTUM));
}
