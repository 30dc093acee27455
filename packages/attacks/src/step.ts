import { grad, memoise, type Tree, vjp } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { type AttackLoss, margin } from './losses.ts';
import { type Norm, perSample } from './norms.ts';

/** Scalars: the radius of the ball and the box; an image that starts outside the box is brought into it. */
export interface Bounds {
  readonly epsilon: tf.Tensor;
  readonly lower: tf.Tensor;
  readonly upper: tf.Tensor;
}

/** Inputs of one step, inside a traced function: `images` and `adversarial` `[batch, ...]`, `labels` int32 `[batch]`, the rest scalars. */
export interface StepInputs extends Bounds {
  readonly parameters: Tree<tf.Tensor>;
  readonly images: tf.Tensor;
  readonly adversarial: tf.Tensor;
  readonly labels: tf.Tensor;
  readonly stepSize: tf.Tensor;
  /** 1: a sample that is already misclassified stays where it is; 0: it moves on. */
  readonly hold: tf.Tensor;
}

export interface MomentumInputs extends StepInputs {
  /** The accumulated gradient, shaped like `images`; zeros at first. */
  readonly momentum: tf.Tensor;
  readonly decay: tf.Tensor;
}

/** The nearest point in the ball around the image, then in the box (which cannot leave the ball of an image that lies in the box). */
export function confine(norm: Norm, images: tf.Tensor, candidate: tf.Tensor, bounds: Bounds): tf.Tensor {
  const inBall = tf.add(images, norm.project(tf.sub(candidate, images), bounds.epsilon));
  return tf.minimum(tf.maximum(inBall, bounds.lower), bounds.upper);
}

/**
 * One step of projected gradient ascent on the loss (descent, when targeted): a traced function, to be compiled as it is or used inside
 * another one (adversarial training). Source: Madry et al., arXiv 1706.06083.
 */
export function gradientStep(
  forward: Classifier['forward'],
  norm: Norm,
  loss: AttackLoss,
  options: { readonly targeted?: boolean } = {},
): (inputs: StepInputs) => { readonly adversarial: tf.Tensor } {
  return (inputs) => {
    const { logits, gradient } = slopeOf(forward, loss, inputs);
    return { adversarial: ascend(norm, inputs, logits, options.targeted ? tf.neg(gradient) : gradient) };
  };
}

/**
 * One step of MI-FGSM: `g <- decay * g + grad / mean|grad|`, then a step along g. Source: Dong et al., arXiv 1710.06081, algorithm 1
 * (divided by the mean absolute value, as in the authors' code, where the paper has the sum).
 */
export function momentumStep(
  forward: Classifier['forward'],
  norm: Norm,
  loss: AttackLoss,
): (inputs: MomentumInputs) => { readonly adversarial: tf.Tensor; readonly momentum: tf.Tensor } {
  return (inputs) => {
    const { logits, gradient } = slopeOf(forward, loss, inputs);
    const axes = gradient.shape.map((_, axis) => axis).slice(1);
    const size = tf.maximum(tf.mean(tf.abs(gradient), axes, true), tf.scalar(1e-30));
    const momentum = tf.add(tf.mul(inputs.momentum, inputs.decay), tf.div(gradient, size));
    return { adversarial: ascend(norm, inputs, logits, momentum), momentum };
  };
}

/** The step functions of a classifier, the same object for the same arguments. */
export const gradientStepOf = memoise((forward: Classifier['forward'], norm: Norm, loss: AttackLoss) =>
  gradientStep(forward, norm, loss),
);
export const momentumStepOf = memoise(momentumStep);

/** `images + epsilon * unit`, confined: the random start of an attack. `unit` holds a point of the unit ball per sample. */
export const startOf = memoise(
  (norm: Norm) => (inputs: Bounds & { readonly images: tf.Tensor; readonly unit: tf.Tensor }) => ({
    adversarial: confine(norm, inputs.images, tf.add(inputs.images, tf.mul(inputs.unit, inputs.epsilon)), inputs),
  }),
);

/** Where the model stands and where its loss rises: one forward and one backward pass. */
interface Slope {
  readonly logits: tf.Tensor;
  readonly gradient: tf.Tensor;
}

/** The gradient of each sample's own loss: of the sum over the batch, so that it does not depend on the sample's neighbours. */
function slopeOf(forward: Classifier['forward'], loss: AttackLoss, inputs: StepInputs): Slope {
  const { value: logits, pullback } = vjp((x) => forward(inputs.parameters, x), inputs.adversarial);
  return { logits, gradient: pullback(grad((z) => tf.sum(loss.value(z, inputs.labels)))(logits)) };
}

function ascend(norm: Norm, inputs: StepInputs, logits: tf.Tensor, direction: tf.Tensor): tf.Tensor {
  const { adversarial, hold, labels, stepSize } = inputs;
  const wrong = tf.cast(tf.greater(margin.value(logits, labels), tf.scalar(0)), 'float32');
  const free = perSample(tf.sub(tf.scalar(1), tf.mul(wrong, hold)), adversarial);
  const moved = tf.add(adversarial, tf.mul(norm.normalize(direction), tf.mul(free, stepSize)));
  return confine(norm, inputs.images, moved, inputs);
}
