import { normal, type RandomAddress, uniform } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { AttackError } from './errors.ts';

export type NormName = 'linf' | 'l2' | 'l1';

/** All that an attack must know of the ball around an image. Tensors are batches `[batch, ...]`; every sample has its own ball. */
export interface Norm {
  readonly name: NormName;
  /** The point of the ball that is nearest to each perturbation; `epsilon` `[batch]` holds a radius for each. */
  readonly project: (delta: tf.Tensor, epsilon: tf.Tensor) => tf.Tensor;
  /** The step of length 1 along which a loss with this gradient rises fastest; zero where the gradient is zero. */
  readonly normalize: (gradient: tf.Tensor) => tf.Tensor;
  /** Does a step move only a few numbers? Then those that the box stops must not be chosen. */
  readonly isSparse: boolean;
  /** Length `[batch]` of each perturbation. */
  readonly distance: (delta: tf.Tensor) => tf.Tensor;
  /** Length of one perturbation outside a traced function. */
  readonly lengthOf: (delta: ArrayLike<number>) => number;
  /** The most that a perturbation of length 1 adds to a linear function with this gradient, `[batch]`. */
  readonly dual: (gradient: tf.Tensor) => tf.Tensor;
  /** `size` numbers: a point drawn uniformly from the ball of radius 1. The same address gives the same point. */
  readonly sample: (address: RandomAddress, size: number) => Float32Array;
  /** The perturbation in whole levels of an 8-bit image, within `radius` levels, nearly the given one (in levels, not rounded). */
  readonly quantise: (levels: Float64Array, radius: number) => Float64Array;
  /** The longest perturbation between two images of `size` numbers in [0,1]: no larger epsilon makes sense. */
  readonly diameter: (size: number) => number;
}

export const linf: Norm = {
  name: 'linf',
  isSparse: false,
  project: (delta, epsilon) => {
    const limit = perSample(epsilon, delta);
    return tf.minimum(tf.maximum(delta, tf.neg(limit)), limit);
  },
  normalize: (gradient) => tf.sign(gradient),
  distance: (delta) => tf.max(tf.abs(flat(delta)), 1),
  dual: (gradient) => tf.sum(tf.abs(flat(gradient)), 1),
  lengthOf: (delta) => total(delta, (most, value) => Math.max(most, Math.abs(value))),
  sample: (address, size) => uniform(address, size).map((u) => 2 * u - 1),
  quantise: (levels, radius) => {
    const limit = Math.floor(radius + ROUNDING);
    return levels.map((level) => Math.min(Math.max(Math.round(level), -limit), limit));
  },
  diameter: () => 1,
};

export const l2: Norm = {
  name: 'l2',
  isSparse: false,
  project: (delta, epsilon) => {
    const length = perSample(euclidean(flat(delta)), delta);
    const limit = perSample(epsilon, delta);
    return tf.mul(delta, tf.div(limit, tf.maximum(tf.maximum(length, limit), tf.scalar(TINY))));
  },
  // Divided by the largest entry first: the squares of a small gradient (1e-25) would be zero in float32.
  normalize: (gradient) => {
    const largest = perSample(tf.max(tf.abs(flat(gradient)), 1), gradient);
    const scaled = tf.div(gradient, tf.maximum(largest, tf.scalar(TINY)));
    return tf.div(scaled, tf.maximum(perSample(euclidean(flat(scaled)), gradient), tf.scalar(TINY)));
  },
  distance: (delta) => euclidean(flat(delta)),
  dual: (gradient) => euclidean(flat(gradient)),
  lengthOf: (delta) => Math.sqrt(total(delta, (sum, value) => sum + value * value)),
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

/** Share of the numbers of an image that one l1 step moves: the largest gradients (Tramèr and Boneh, arXiv 1904.13000, section 2). */
const SPARSITY = 0.05;

export const l1: Norm = {
  name: 'l1',
  isSparse: true,
  // Soft thresholding (Duchi et al., ICML 2008): the threshold solves sum max(|d| - t, 0) = epsilon, which is convex and piecewise linear, so
  // Newton's method reaches it from below in finitely many steps. What float32 leaves over is scaled away.
  project: (delta, epsilon) => {
    const size = tf.abs(flat(delta));
    const rest = (threshold: tf.Tensor) => tf.relu(tf.sub(size, tf.expandDims(threshold, 1)));
    let threshold = tf.zerosLike(epsilon);
    for (let i = 0; i < NEWTON_STEPS; i++) {
      const above = rest(threshold);
      const count = tf.maximum(tf.sum(tf.sign(above), 1), tf.scalar(1));
      threshold = tf.add(threshold, tf.relu(tf.div(tf.sub(tf.sum(above, 1), epsilon), count)));
    }
    const cut = tf.mul(tf.sign(delta), tf.reshape(rest(threshold), delta.shape));
    const length = perSample(tf.sum(tf.abs(flat(cut)), 1), delta);
    const limit = perSample(epsilon, delta);
    return tf.mul(cut, tf.div(limit, tf.maximum(tf.maximum(length, limit), tf.scalar(TINY))));
  },
  // The steepest direction is one number alone; moving a few of the largest ones together gets there in far fewer steps. The size that so many
  // numbers reach is found by halving.
  normalize: (gradient) => {
    const size = tf.abs(flat(gradient));
    const wanted = Math.max(1, Math.round(SPARSITY * (size.shape[1] ?? 1)));
    const largest = tf.max(size, 1, true);
    let [low, high] = [tf.zerosLike(largest), largest];
    for (let i = 0; i < HALVINGS; i++) {
      const middle = tf.mul(tf.add(low, high), tf.scalar(0.5));
      const enough = asNumber(tf.greaterEqual(countFrom(size, middle), tf.scalar(wanted)));
      low = blend(enough, middle, low);
      high = blend(enough, high, middle);
    }
    const single = asNumber(tf.greaterEqual(countFrom(size, largest), tf.scalar(wanted)));
    const chosen = asNumber(tf.greaterEqual(size, blend(single, largest, low)));
    const count = tf.maximum(tf.sum(chosen, 1, true), tf.scalar(1));
    return tf.mul(tf.sign(gradient), tf.reshape(tf.div(chosen, count), gradient.shape));
  },
  distance: (delta) => tf.sum(tf.abs(flat(delta)), 1),
  dual: (gradient) => tf.max(tf.abs(flat(gradient)), 1),
  lengthOf: (delta) => total(delta, (sum, value) => sum + Math.abs(value)),
  // Spacings of exponential numbers are uniform on the simplex; the last one is what the point lacks to the surface.
  sample: (address, size) => {
    const spacings = uniform(address, size + 1).map((u) => -Math.log(1 - u));
    const total = spacings.reduce((sum, value) => sum + value, 0);
    const signs = uniform({ ...address, stream: `${address.stream}/sign` }, size);
    return signs.map((u, i) => ((u < 0.5 ? -1 : 1) * (spacings[i] ?? 0)) / total);
  },
  quantise: (levels, radius) => {
    const rounded = levels.map(Math.round);
    const length = rounded.reduce((sum, level) => sum + Math.abs(level), 0);
    return length <= radius + ROUNDING ? rounded : levels.map(Math.trunc);
  },
  diameter: (size) => size,
};

/** How far every number of an image of `size` numbers moves in a perturbation of this length that moves all alike. */
export function evenly(norm: Norm, length: number, size: number): number {
  return length / norm.diameter(size);
}

/** The norms by name. */
export const norms: Readonly<Record<NormName, Norm>> = { linf, l2, l1 };

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

/** Newton steps to a threshold; the number of pieces that are passed grows with the logarithm of the dimension. */
export const NEWTON_STEPS = 20;

/** Halvings that leave nothing of an interval that matters in float32. */
const HALVINGS = 24;

/** `[batch, ...]` as `[batch, numbers of a sample]`. */
export function flat(batch: tf.Tensor): tf.Tensor {
  return tf.reshape(batch, [batch.shape[0] ?? 1, -1]);
}

/** Length `[batch]` of each row. */
function euclidean(rows: tf.Tensor): tf.Tensor {
  return tf.sqrt(tf.sum(tf.mul(rows, rows), 1));
}

function total(values: ArrayLike<number>, add: (sum: number, value: number) => number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum = add(sum, values[i] ?? 0);
  return sum;
}

/** How many numbers of each row are at least the row's limit: `[batch, 1]`. */
function countFrom(rows: tf.Tensor, limit: tf.Tensor): tf.Tensor {
  return tf.sum(asNumber(tf.greaterEqual(rows, limit)), 1, true);
}

/** 1 where the condition holds, else 0. */
export function asNumber(condition: tf.Tensor): tf.Tensor {
  return tf.cast(condition, 'float32');
}

/** `first` where `share` is 1, `second` where it is 0; both must be finite. */
export function blend(share: tf.Tensor, first: tf.Tensor, second: tf.Tensor): tf.Tensor {
  return tf.add(tf.mul(share, first), tf.mul(tf.sub(tf.scalar(1), share), second));
}

/** `[batch]` numbers in a shape that broadcasts over `like`. */
export function perSample(values: tf.Tensor, like: tf.Tensor): tf.Tensor {
  return tf.reshape(
    values,
    like.shape.map((dimension, axis) => (axis === 0 ? dimension : 1)),
  );
}
