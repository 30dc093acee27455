import { l2 } from '@jsigr/attacks';
import { stopGradient } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { slopeAlong } from './directional-slope.ts';
import { type JacobianSettings, jacobianOutputs } from './jacobian-norm.ts';
import type { TracedBatch } from './objective.ts';
import { projectionsOf, type SharedForward, targetFunctions } from './penalties.ts';
import type { SelectiveSettings } from './selective.ts';

/**
 * Both terms of J-SIGR, not yet weighted, by one finite difference: the first half of the (randomly drawn) batch measures the Jacobian norm
 * along one projection, the other half the selective gradient norm. Each is the mean over its half, which estimates that over the batch; one
 * pullback and one forward pass serve both.
 */
export function sharedDifferences(
  { jacobianOutput, gradientTarget, differenceStep }: JacobianSettings & SelectiveSettings,
  { logits, pullback }: SharedForward,
  batch: TracedBatch,
): { readonly jacobian: Tensor; readonly inputGradient: Tensor } {
  const [size = 1, classes = 1] = logits.shape;
  const half = Math.floor(size / 2);
  const [vector = logits] = projectionsOf(batch.inputs, 1);
  const { value: output, cotangent } = jacobianOutputs[jacobianOutput];
  const target = targetFunctions[gradientTarget];
  const first = tf.tensor1d(Array.from({ length: size }, (_, row) => (row < half ? 1 : 0)));
  /** The first argument in the first half, the second in the other. */
  const halves = (a: Tensor | number, b: Tensor | number, shape: number[]) => {
    const mask = tf.reshape(first, shape);
    return tf.add(tf.mul(mask, a), tf.mul(tf.sub(1, mask), b));
  };
  const rows = stopGradient(pullback(halves(cotangent(logits, vector), target.cotangent(logits, batch), [size, 1])));
  const { penalised } = batch.inputs;
  const kept = penalised && halves(1, penalised, [size, 1, 1, 1]);
  const direction = kept ? tf.mul(l2.normalize(tf.mul(rows, kept)), kept) : l2.normalize(rows);
  const measured = (z: Tensor) => halves(tf.sum(tf.mul(output(z), vector), 1), target.value(z, batch), [size]);
  const slope = slopeAlong(
    (images) => measured(batch.forward(images)),
    measured(logits),
    { images: batch.images, direction },
    { step: differenceStep, scheme: 'one-sided' },
  );
  const squares = tf.square(slope);
  return {
    jacobian: tf.mul(tf.sum(tf.mul(squares, first)), (0.5 * classes) / half),
    inputGradient: tf.mul(tf.sum(tf.mul(squares, tf.sub(1, first))), 1 / (size - half)),
  };
}
