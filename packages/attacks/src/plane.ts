import * as tf from '@tensorflow/tfjs-core';
import { asNumber, flat, NEWTON_STEPS, type NormName } from './norms.ts';

/** Norms in which the nearest point of a plane in the box is known here. */
export type PlaneNorm = Extract<NormName, 'linf' | 'l2'>;

/** How far each number moves for a unit of the multiplier, by the size of its weight: `[batch, 1]` where all move alike, else `[batch, size]`. */
const shares: Readonly<Record<PlaneNorm, (weight: tf.Tensor) => tf.Tensor>> = {
  linf: (weight) => tf.ones([weight.shape[0] ?? 1, 1]),
  l2: (weight) => weight,
};

/**
 * The smallest perturbation d of each point with `weights . d = rise` and `point + d` in [0,1] (Croce and Hein, arXiv 1907.02044, section 2.2); where the
 * box does not allow that, the one that comes nearest to it. Number i moves by `min(t share_i, room_i)`, and the rise is a concave, piecewise linear
 * function of t: Newton's method climbs to the right t from below, without the sorting that the paper uses.
 * @param rise `[batch]`, of either sign.
 */
export function toPlane(norm: PlaneNorm, points: tf.Tensor, weights: tf.Tensor, rise: tf.Tensor): tf.Tensor {
  const scale = tf.maximum(tf.max(tf.abs(flat(weights)), 1), tf.scalar(1e-30));
  const towards = tf.mul(flat(weights), tf.expandDims(tf.div(tf.sign(rise), scale), 1));
  const weight = tf.abs(towards);
  const wanted = tf.div(tf.abs(rise), scale);
  const up = asNumber(tf.greater(towards, tf.scalar(0)));
  const room = tf.abs(tf.sub(up, flat(points)));
  const share = shares[norm](weight);
  const rate = tf.mul(weight, share);
  const reached = (t: tf.Tensor) => tf.mul(share, tf.expandDims(t, 1));
  let t = tf.zerosLike(wanted);
  for (let i = 0; i < NEWTON_STEPS; i++) {
    const reach = reached(t);
    const slope = product(rate, asNumber(tf.less(reach, room)));
    const missing = tf.sub(wanted, product(weight, tf.minimum(reach, room)));
    // Without a slope everything stands at the box: t stays.
    const open = asNumber(tf.greater(slope, tf.scalar(1e-20)));
    t = tf.add(t, tf.mul(open, tf.relu(tf.div(missing, tf.maximum(slope, tf.scalar(1e-20))))));
  }
  return tf.reshape(tf.mul(tf.sign(towards), tf.minimum(reached(t), room)), points.shape);
}

/** `weights . delta` of each sample, `[batch]`. */
export function product(weights: tf.Tensor, delta: tf.Tensor): tf.Tensor {
  return tf.sum(tf.mul(flat(weights), flat(delta)), 1);
}

export function clipped(points: tf.Tensor): tf.Tensor {
  return tf.minimum(tf.maximum(points, tf.scalar(0)), tf.scalar(1));
}
