import { float32, type NdArray, normal, stopGradient, uniform } from '@jsigr/engine';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { BatchContext, TracedBatch } from './objective.ts';

/** One forward pass that every term of a loss shares: the pullback takes a cotangent `[batch, classes]` of the logits to the images. */
export interface SharedForward {
  readonly logits: Tensor;
  readonly pullback: (cotangent: Tensor) => Tensor;
}

/** Cross-entropy `[batch]` of one-hot labels, or of any distribution `[batch, classes]`. */
export function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  return tf.neg(tf.sum(tf.mul(labels, tf.logSoftmax(logits as Tensor2D)), 1));
}

/** Mean over the batch of the cross-entropies of these logits, with smoothed labels and weighted classes where they are on. */
export function meanCrossEntropy(logits: Tensor, { targets, weights }: Pick<TracedBatch, 'targets' | 'weights'>) {
  return weightedMean(crossEntropy(logits, targets), weights);
}

/** Mean of `[batch]`, with weighted classes where they are on. */
export function weightedMean(each: Tensor, weights: TracedBatch['weights']): Tensor {
  return tf.mean(weights ? tf.mul(each, weights) : each);
}

/** Kullback-Leibler divergence `[batch]` of the distribution of `other` logits from that of `logits`: sum p (log p - log q). */
export function divergence(logits: Tensor, other: Tensor): Tensor {
  const logP = tf.logSoftmax(logits as Tensor2D);
  return tf.sum(tf.mul(tf.exp(logP), tf.sub(logP, tf.logSoftmax(other as Tensor2D))), 1);
}

/** Mean over the batch of the squared Euclidean norm of each sample's gradient. */
export function meanSquaredNorm(gradient: Tensor): Tensor {
  return tf.mul(tf.sum(tf.square(gradient)), 1 / (gradient.shape[0] ?? 1));
}

const projectionName = (index: number) => `projection${index}`;
const SIGNS = 'projectionSigns';

/**
 * Random unit vectors `[batch, classes]`, one a sample and projection, for the Jacobian norm; for the exact norm (`count` -1) random signs
 * `[batch, classes]` of its unit vectors.
 */
export function projectionInputs(
  count: number,
  { seed, step, batchSize, classes }: BatchContext,
): Record<string, NdArray> {
  if (count === -1) {
    const signs = uniform({ seed, stream: 'projection.sign', step }, batchSize * classes);
    return {
      [SIGNS]: float32(
        signs.map((u) => (u < 0.5 ? -1 : 1)),
        [batchSize, classes],
      ),
    };
  }
  const inputs: Record<string, NdArray> = {};
  for (let index = 0; index < count; index++) {
    const vectors = normal({ seed, stream: 'projection', step, sample: index }, batchSize * classes);
    for (let row = 0; row < batchSize; row++) normalise(vectors.subarray(row * classes, (row + 1) * classes));
    inputs[projectionName(index)] = float32(vectors, [batchSize, classes]);
  }
  return inputs;
}

/** The projections of a batch, in order. */
export function projectionsOf(inputs: Readonly<Record<string, Tensor>>, count: number): Tensor[] {
  return Array.from({ length: count }, (_, index) => inputNamed(projectionName(index), inputs));
}

/** The signs of a batch. */
export function signsOf(inputs: Readonly<Record<string, Tensor>>): Tensor {
  return inputNamed(SIGNS, inputs);
}

function inputNamed(name: string, inputs: Readonly<Record<string, Tensor>>): Tensor {
  const found = inputs[name];
  if (found === undefined) throw new Error(`the batch lacks the input ${name}`);
  return found;
}

/** Whose gradient by the image is penalised: the sample's cross-entropy, its label's logit, or its label's probability. */
export const GRADIENT_TARGETS = ['cross-entropy', 'logit', 'probability'] as const;
export type GradientTarget = (typeof GRADIENT_TARGETS)[number];

/** A number `[batch]` a sample, and its derivative `[batch, classes]` by the logits. */
interface TargetFunction {
  readonly value: (logits: Tensor, batch: Labelled) => Tensor;
  readonly cotangent: (logits: Tensor, batch: Labelled) => Tensor;
}
type Labelled = Pick<TracedBatch, 'labels' | 'targets'>;

/** The derivatives are p - t for the cross-entropy of the targets t, e_y for the logit, p_y (e_y - p) for the probability. */
export const targetFunctions: Readonly<Record<GradientTarget, TargetFunction>> = {
  'cross-entropy': {
    value: (logits, { targets }) => crossEntropy(logits, targets),
    cotangent: (logits, { targets }) => tf.sub(tf.softmax(logits), targets),
  },
  logit: {
    value: (logits, { labels }) => tf.sum(tf.mul(logits, labels), 1),
    cotangent: (_, { labels }) => labels,
  },
  probability: {
    value: (logits, { labels }) => tf.sum(tf.mul(tf.softmax(logits), labels), 1),
    cotangent: (logits, { labels }) => {
      const probabilities = tf.softmax(logits);
      const ofLabel = tf.sum(tf.mul(probabilities, labels), 1, true);
      return tf.mul(ofLabel, tf.sub(labels, probabilities));
    },
  },
};

/** The gradient `[batch, height, width, channels]` of each sample's target by its image. */
export function inputGradient(target: GradientTarget, { logits, pullback }: SharedForward, batch: Labelled): Tensor {
  return pullback(targetFunctions[target].cotangent(logits, batch));
}

/**
 * 1 minus the cosine between the size of each pixel's gradient and its saliency `[batch, height, width, 1]`, mean over the batch: 0 where
 * the gradient lies as the saliency does. A gradient or saliency of zero counts as 1.
 */
export function imitationPenalty(gradient: Tensor, saliency: Tensor): Tensor {
  return cosineDistance(tf.sum(tf.abs(gradient), 3, true), saliency);
}

/** 1 minus the cosine between two maps `[batch, height, width, 1]`, mean over the batch; the second is a constant. */
export function cosineDistance(map: Tensor, reference: Tensor): Tensor {
  const fixed = stopGradient(reference);
  const axes = [1, 2, 3];
  const length = (x: Tensor) => tf.sqrt(tf.add(tf.sum(tf.square(x), axes), TINY));
  const cosine = tf.div(tf.sum(tf.mul(map, fixed), axes), tf.mul(length(map), length(fixed)));
  return tf.sub(1, tf.mean(cosine));
}

/** Keeps the square root's derivative finite at zero; its root, 1e-9, is far below any gradient that matters. */
export const TINY = 1e-18;

function normalise(vector: Float32Array): void {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] ?? 0) / length;
}
