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

/** (x - mean) / sqrt(variance + epsilon), scaled and moved; the factor is made first, because it is the smaller tensor. */
function normalised(
  centred: tf.Tensor,
  variance: tf.Tensor,
  { epsilon = 1e-5, scale, offset }: NormalizationOptions,
): tf.Tensor {
  const factor = tf.rsqrt(tf.add(variance, epsilon));
  const scaled = tf.mul(centred, scale ? tf.mul(factor, scale) : factor);
  return offset ? tf.add(scaled, offset) : scaled;
}

/** Layer normalization (Ba et al. 2016) over the last axis of a tensor of any shape. */
export function layerNorm(x: tf.Tensor, options: NormalizationOptions = {}): tf.Tensor {
  const axis = x.rank - 1;
  const centred = tf.sub(x, tf.mean(x, axis, true));
  return normalised(centred, tf.mean(tf.square(centred), axis, true), options);
}

/**
 * Group normalization (Wu and He 2018) of images [N, H, W, C]: over the pixels and the channels of each of `groups` groups of neighbouring channels.
 * One group is layer normalization of whole images, C groups are instance normalization.
 * @throws EngineError SHAPE_MISMATCH if the groups do not divide the channels
 */
export function groupNorm(x: tf.Tensor, groups: number, options: NormalizationOptions = {}): tf.Tensor {
  const channels = x.shape.at(-1) ?? 0;
  if (x.rank !== 4 || !Number.isInteger(groups) || groups < 1 || channels % groups !== 0)
    throw new EngineError(
      'SHAPE_MISMATCH',
      `groupNorm of [${x.shape}] in ${groups} groups: it takes images [N, H, W, C], and groups must divide C`,
    );
  const centred = tf.sub(x, groupMean(x, groups));
  return normalised(centred, groupMean(tf.square(centred), groups), options);
}

/**
 * For each channel the mean over its group's pixels, [N, 1, 1, C]. By products with a membership matrix, because no axis of x has to be split then, and the batch
 * size of an exported network can stay open.
 */
function groupMean(x: tf.Tensor, groups: number): tf.Tensor {
  const channels = x.shape.at(-1) ?? 0;
  const size = channels / groups;
  if (size === 1) return tf.mean(x, [1, 2], true);
  const member = tf.tensor2d(
    Float32Array.from({ length: channels * groups }, (_, at) => Number(Math.floor(at / groups / size) === at % groups)),
    [channels, groups],
  );
  const ofGroups = tf.mul(tf.matMul(tf.mean(x, [1, 2]) as tf.Tensor2D, member), 1 / size);
  return tf.reshape(tf.matMul(ofGroups as tf.Tensor2D, member, false, true), [-1, 1, 1, channels]);
}

/**
 * Batch normalization in training (Ioffe and Szegedy 2015) over all axes but the last: the result, and the statistics of the batch, of shape [C], for the running
 * averages; the variance is that of the whole population (divided by n). The frozen form is `tf.batchNorm` with those averages.
 */
export function batchNorm(
  x: tf.Tensor,
  options: NormalizationOptions = {},
): { value: tf.Tensor; mean: tf.Tensor; variance: tf.Tensor } {
  const axes = Array.from({ length: x.rank - 1 }, (_, i) => i);
  const mean = tf.mean(x, axes);
  const centred = tf.sub(x, mean);
  const variance = tf.mean(tf.square(centred), axes);
  return { value: normalised(centred, variance, options), mean, variance };
}
