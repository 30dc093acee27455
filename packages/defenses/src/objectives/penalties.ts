import { float32, type NdArray, normal, stopGradient } from '@jsigr/engine';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { BatchContext } from './objective.ts';

/** One forward pass that every term of a loss shares: the pullback takes a cotangent `[batch, classes]` of the logits to the images. */
export interface SharedForward {
  readonly logits: Tensor;
  readonly pullback: (cotangent: Tensor) => Tensor;
}

/** Cross-entropy `[batch]` of one-hot labels. */
export function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  return tf.neg(tf.sum(tf.mul(labels, tf.logSoftmax(logits as Tensor2D)), 1));
}

/** Mean over the batch of the squared Euclidean norm of each sample's gradient. */
export function meanSquaredNorm(gradient: Tensor): Tensor {
  return tf.mul(tf.sum(tf.square(gradient)), 1 / (gradient.shape[0] ?? 1));
}

const projectionName = (index: number) => `projection${index}`;

/**
 * Random unit vectors `[batch, classes]`, one a sample and projection, for {@link jacobianPenalty}; none for the exact norm (`count` -1).
 */
export function projectionInputs(
  count: number,
  { seed, step, batchSize, classes }: BatchContext,
): Record<string, NdArray> {
  const inputs: Record<string, NdArray> = {};
  for (let index = 0; index < count; index++) {
    const vectors = normal({ seed, stream: 'projection', step, sample: index }, batchSize * classes);
    for (let row = 0; row < batchSize; row++) normalise(vectors.subarray(row * classes, (row + 1) * classes));
    inputs[projectionName(index)] = float32(vectors, [batchSize, classes]);
  }
  return inputs;
}

/**
 * Half the mean squared Frobenius norm of the Jacobian of the logits by the image: 1/2 mean_i ||dz_i/dx_i||_F^2.
 * With projections it is Hoffman et al.'s unbiased estimator (arXiv 1908.02729): C ||v^T J||^2, v uniform on the unit sphere, averaged
 * over the projections; with `count` -1 it is exact, one pullback a class.
 */
export function jacobianPenalty(
  { logits, pullback }: SharedForward,
  count: number,
  inputs: Readonly<Record<string, Tensor>>,
): Tensor {
  const [batch = 1, classes = 1] = logits.shape;
  const exact = count === -1;
  const cotangents = exact
    ? Array.from({ length: classes }, (_, index) => unitRows(batch, classes, index))
    : Array.from({ length: count }, (_, index) => projection(inputs, index));
  const norms = cotangents.map((cotangent) => meanSquaredNorm(pullback(cotangent)));
  const total = norms.reduce((sum, norm) => tf.add(sum, norm));
  return tf.mul(total, exact ? 0.5 : (0.5 * classes) / count);
}

/** Whose gradient by the image is penalised: the sample's cross-entropy, its label's logit, or its label's probability. */
export const GRADIENT_TARGETS = ['cross-entropy', 'logit', 'probability'] as const;
export type GradientTarget = (typeof GRADIENT_TARGETS)[number];

/**
 * The gradient `[batch, height, width, channels]` of each sample's target by its image, from its derivative by the logits:
 * p - e_y for the cross-entropy, e_y for the logit, p_y (e_y - p) for the probability.
 */
export function inputGradient(target: GradientTarget, { logits, pullback }: SharedForward, labels: Tensor): Tensor {
  return pullback(COTANGENTS[target](logits, labels));
}

const COTANGENTS: Readonly<Record<GradientTarget, (logits: Tensor, labels: Tensor) => Tensor>> = {
  'cross-entropy': (logits, labels) => tf.sub(tf.softmax(logits), labels),
  logit: (_, labels) => labels,
  probability: (logits, labels) => {
    const probabilities = tf.softmax(logits);
    const ofLabel = tf.sum(tf.mul(probabilities, labels), 1, true);
    return tf.mul(ofLabel, tf.sub(labels, probabilities));
  },
};

/**
 * 1 minus the cosine between the size of each pixel's gradient and its saliency `[batch, height, width, 1]`, mean over the batch: 0 where
 * the gradient lies as the saliency does. A gradient or saliency of zero counts as 1.
 */
export function imitationPenalty(gradient: Tensor, saliency: Tensor): Tensor {
  const size = tf.sum(tf.abs(gradient), 3, true);
  const map = stopGradient(saliency);
  const axes = [1, 2, 3];
  const length = (x: Tensor) => tf.sqrt(tf.add(tf.sum(tf.square(x), axes), TINY));
  const cosine = tf.div(tf.sum(tf.mul(size, map), axes), tf.mul(length(size), length(map)));
  return tf.sub(1, tf.mean(cosine));
}

/** Keeps the square root's derivative finite at zero; its root, 1e-9, is far below any gradient that matters. */
const TINY = 1e-18;

function projection(inputs: Readonly<Record<string, Tensor>>, index: number): Tensor {
  const found = inputs[projectionName(index)];
  if (found === undefined) throw new Error(`the batch lacks the input ${projectionName(index)}`);
  return found;
}

function unitRows(batch: number, classes: number, index: number): Tensor {
  return tf.tensor2d(
    Float32Array.from({ length: batch * classes }, (_, at) => (at % classes === index ? 1 : 0)),
    [batch, classes],
  );
}

function normalise(vector: Float32Array): void {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] ?? 0) / length;
}
