import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';

export interface NormalizationOptions {
  /** Added to the variance (default 1e-5). */
  readonly epsilon?: number;
  /** Multiplied with the result; its shape broadcasts over that of x, from the last axis. */
  readonly scale?: tf.Tensor;
  /** Added to the result after scaling. */
  readonly offset?: tf.Tensor;
}

/** x with mean 0 and variance 1 over these axes; the variance is that of the whole population (divided by n). */
function standardised(x: tf.Tensor, axes: number[], epsilon: number) {
  const mean = tf.mean(x, axes, true);
  const centred = tf.sub(x, mean);
  const variance = tf.mean(tf.square(centred), axes, true);
  return { value: tf.mul(centred, tf.rsqrt(tf.add(variance, epsilon))), mean, variance };
}

function affine(x: tf.Tensor, { scale, offset }: NormalizationOptions): tf.Tensor {
  const scaled = scale ? tf.mul(x, scale) : x;
  return offset ? tf.add(scaled, offset) : scaled;
}

/** Layer normalization (Ba et al. 2016) over the last axis of a tensor of any shape. */
export function layerNorm(x: tf.Tensor, options: NormalizationOptions = {}): tf.Tensor {
  return affine(standardised(x, [x.rank - 1], options.epsilon ?? 1e-5).value, options);
}

/**
 * Group normalization (Wu and He 2018) of images [N, H, W, C]: over the pixels and the channels of each of `groups` groups of neighbouring channels.
 * One group is layer normalization of whole images, C groups are instance normalization.
 * @throws EngineError SHAPE_MISMATCH if the groups do not divide the channels
 */
export function groupNorm(x: tf.Tensor, groups: number, options: NormalizationOptions = {}): tf.Tensor {
  const [n = 0, height = 0, width = 0, channels = 0] = x.shape;
  if (x.rank !== 4 || !Number.isInteger(groups) || groups < 1 || channels % groups !== 0)
    throw new EngineError(
      'SHAPE_MISMATCH',
      `groupNorm of [${x.shape}] in ${groups} groups: it takes images [N, H, W, C], and groups must divide C`,
    );
  const split = tf.reshape(x, [n, height, width, groups, channels / groups]);
  return affine(tf.reshape(standardised(split, [1, 2, 4], options.epsilon ?? 1e-5).value, x.shape), options);
}

/**
 * Batch normalization in training (Ioffe and Szegedy 2015) over all axes but the last: the result, and the statistics of the batch, of shape [C], for the running
 * averages. The frozen form is `tf.batchNorm` with those averages.
 */
export function batchNorm(
  x: tf.Tensor,
  options: NormalizationOptions = {},
): { value: tf.Tensor; mean: tf.Tensor; variance: tf.Tensor } {
  const axes = Array.from({ length: x.rank - 1 }, (_, i) => i);
  const { value, mean, variance } = standardised(x, axes, options.epsilon ?? 1e-5);
  return { value: affine(value, options), mean: tf.reshape(mean, [-1]), variance: tf.reshape(variance, [-1]) };
}
