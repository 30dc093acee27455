import { l2 } from '@jsigr/attacks';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { slopeAlong } from './directional-slope.ts';
import type { TracedBatch } from './objective.ts';
import { meanSquaredNorm, projectionsOf, type SharedForward, signsOf, TINY } from './penalties.ts';

/** Whose Jacobian by the image is penalised. */
export const JACOBIAN_OUTPUTS = ['logits', 'probabilities'] as const;
export type JacobianOutput = (typeof JACOBIAN_OUTPUTS)[number];

/** The settings of the Jacobian term (see `settings.ts`). */
export interface JacobianSettings {
  readonly jacobianWeight: number;
  readonly projections: number;
  readonly jacobianOutput: JacobianOutput;
  readonly jacobianSquared: boolean;
}

/** An output `[batch, classes]` as a function of the logits, and its pullback to them. */
interface OutputFunction {
  readonly value: (logits: Tensor) => Tensor;
  readonly cotangent: (logits: Tensor, ofOutput: Tensor) => Tensor;
}

export const jacobianOutputs: Readonly<Record<JacobianOutput, OutputFunction>> = {
  logits: { value: (logits) => logits, cotangent: (_, ofOutput) => ofOutput },
  // (diag p - p p^T) v = p (v - p . v)
  probabilities: {
    value: (logits) => tf.softmax(logits),
    cotangent: (logits, ofOutput) => {
      const p = tf.softmax(logits);
      return tf.mul(p, tf.sub(ofOutput, tf.sum(tf.mul(p, ofOutput), 1, true)));
    },
  },
};

/**
 * Half the mean squared Frobenius norm of the Jacobian by the image: 1/2 mean_i ||dz_i/dx_i||_F^2. With projections it is Hoffman et al.'s
 * unbiased estimator (arXiv 1908.02729, equation 8): C ||v^T J||^2, v uniform on the unit sphere, averaged over the projections; with
 * `projections` -1 it is exact, one pullback a class. The samples of a batch that is normalised by its own statistics depend on each other: random
 * signs of their vectors let what one sample's output has of another's image vanish on average, as random projections do, and change nothing else. Not squared (Jakubovitz and Giryes, arXiv 1803.08680) it is mean_i ||dz_i/dx_i||_F.
 */
export function jacobianPenalty(
  { logits, pullback }: SharedForward,
  { projections, jacobianOutput, jacobianSquared }: JacobianSettings,
  inputs: Readonly<Record<string, Tensor>>,
): Tensor {
  const [batch = 1, classes = 1] = logits.shape;
  const exact = projections === -1;
  const vectors = exact
    ? Array.from({ length: classes }, (_, index) => tf.mul(unitRows(batch, classes, index), signsOf(inputs)))
    : projectionsOf(inputs, projections);
  const rows = vectors.map((vector) => pullback(jacobianOutputs[jacobianOutput].cotangent(logits, vector)));
  if (!jacobianSquared) {
    const squares = rows.map((row) => tf.sum(tf.square(tf.reshape(row, [batch, -1])), 1));
    return tf.mean(tf.sqrt(tf.add(sumOf(squares), TINY)));
  }
  return tf.mul(sumOf(rows.map(meanSquaredNorm)), exact ? 0.5 : (0.5 * classes) / projections);
}

/**
 * The same estimate from finite differences: ||v^T J|| is the slope of v . z along the unit vector of v^T J, so that the derivative by
 * the parameters needs no second derivative. One more forward pass a projection.
 */
export function jacobianPenaltyByDifferences(
  { logits, pullback }: SharedForward,
  { projections, jacobianOutput }: JacobianSettings,
  { forward, images, inputs }: TracedBatch,
  step: number,
): Tensor {
  const { value, cotangent } = jacobianOutputs[jacobianOutput];
  const squares = projectionsOf(inputs, projections).map((vector) => {
    const along = (z: Tensor) => tf.sum(tf.mul(value(z), vector), 1);
    const direction = l2.normalize(pullback(cotangent(logits, vector)));
    const slope = slopeAlong(
      (x) => along(forward(x)),
      along(logits),
      { images, direction },
      { step, scheme: 'one-sided' },
    );
    return tf.mean(tf.square(slope));
  });
  return tf.mul(sumOf(squares), (0.5 * (logits.shape[1] ?? 1)) / projections);
}

function sumOf(terms: readonly Tensor[]): Tensor {
  return terms.reduce((sum, term) => tf.add(sum, term));
}

function unitRows(batch: number, classes: number, index: number): Tensor {
  return tf.tensor2d(
    Float32Array.from({ length: batch * classes }, (_, at) => (at % classes === index ? 1 : 0)),
    [batch, classes],
  );
}
