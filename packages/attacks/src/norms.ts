import { normal, type RandomAddress, uniform } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { AttackError } from './errors.ts';

export type NormName = 'linf' | 'l2';

/** All that an attack must know of the ball around an image. Tensors are batches `[batch, ...]`; every sample has its own ball. */
export interface Norm {
  readonly name: NormName;
  /** The point of the ball of radius `epsilon` (a scalar) that is nearest to each perturbation. */
  readonly project: (delta: tf.Tensor, epsilon: tf.Tensor) => tf.Tensor;
  /** The step of length 1 along which a loss with this gradient rises fastest; zero where the gradient is zero. */
  readonly normalize: (gradient: tf.Tensor) => tf.Tensor;
  /** Length `[batch]` of each perturbation. */
  readonly distance: (delta: tf.Tensor) => tf.Tensor;
  /** `size` numbers: a point drawn uniformly from the ball of radius 1. The same address gives the same point. */
  readonly sample: (address: RandomAddress, size: number) => Float32Array;
  /** The perturbation in whole levels of an 8-bit image, within `radius` levels, nearly the given one (in levels, not rounded). */
  readonly quantise: (levels: Float64Array, radius: number) => Float64Array;
  /** The longest perturbation between two images of `size` numbers in [0,1]: no larger epsilon makes sense. */
  readonly diameter: (size: number) => number;
}

export const linf: Norm = {
  name: 'linf',
  project: (delta, epsilon) => tf.minimum(tf.maximum(delta, tf.neg(epsilon)), epsilon),
  normalize: (gradient) => tf.sign(gradient),
  distance: (delta) => tf.max(tf.abs(flat(delta)), 1),
  sample: (address, size) => uniform(address, size).map((u) => 2 * u - 1),
  quantise: (levels, radius) => {
    const limit = Math.floor(radius + ROUNDING);
    return levels.map((level) => Math.min(Math.max(Math.round(level), -limit), limit));
  },
  diameter: () => 1,
};

export const l2: Norm = {
  name: 'l2',
  project: (delta, epsilon) => {
    const length = perSample(euclidean(flat(delta)), delta);
    return tf.mul(delta, tf.div(epsilon, tf.maximum(tf.maximum(length, epsilon), tf.scalar(TINY))));
  },
  // Divided by the largest entry first: the squares of a small gradient (1e-25) would be zero in float32.
  normalize: (gradient) => {
    const largest = perSample(tf.max(tf.abs(flat(gradient)), 1), gradient);
    const scaled = tf.div(gradient, tf.maximum(largest, tf.scalar(TINY)));
    return tf.div(scaled, tf.maximum(perSample(euclidean(flat(scaled)), gradient), tf.scalar(TINY)));
  },
  distance: (delta) => euclidean(flat(delta)),
  // A normal vector has a uniform direction; the radius of a uniform point in n dimensions is u^(1/n).
  sample: (address, size) => {
    const direction = normal(address, size);
    const [u = 0] = uniform({ ...address, stream: `${address.stream}/radius` }, 1);
    const length = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
    return direction.map((value) => (value / length) * u ** (1 / size));
  },
  // Where rounding makes it too long, it is cut towards the image instead, which never lengthens it.
  quantise: (levels, radius) => {
    const rounded = levels.map(Math.round);
    const length = Math.sqrt(rounded.reduce((sum, level) => sum + level * level, 0));
    return length <= radius + ROUNDING ? rounded : levels.map(Math.trunc);
  },
  diameter: (size) => Math.sqrt(size),
};

/** The norms by name. */
export const norms: Readonly<Record<NormName, Norm>> = { linf, l2 };

/** @throws AttackError UNKNOWN_NORM, with the known names. */
export function normNamed(name: string, field = 'norm'): Norm {
  const norm = Object.hasOwn(norms, name) ? norms[name as NormName] : undefined;
  if (!norm) throw new AttackError('UNKNOWN_NORM', field, `"${name}" is none of ${Object.keys(norms).join(', ')}`);
  return norm;
}

/** Far below every gradient that matters, far above the smallest float32 that processors keep (1.2e-38). */
const TINY = 1e-30;

/** What float32 may add to a number of levels: 255 * (8 / 255) is not 8. */
const ROUNDING = 1e-4;

function flat(batch: tf.Tensor): tf.Tensor {
  return tf.reshape(batch, [batch.shape[0] ?? 1, -1]);
}

/** Length `[batch]` of each row. */
function euclidean(rows: tf.Tensor): tf.Tensor {
  return tf.sqrt(tf.sum(tf.mul(rows, rows), 1));
}

/** `[batch]` numbers in a shape that broadcasts over `like`. */
export function perSample(values: tf.Tensor, like: tf.Tensor): tf.Tensor {
  return tf.reshape(
    values,
    like.shape.map((dimension, axis) => (axis === 0 ? dimension : 1)),
  );
}
