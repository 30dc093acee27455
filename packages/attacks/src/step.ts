import { grad, memoise, type Tree, vjp } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { type AttackLoss, margin } from './losses.ts';
import { asNumber, type Norm, perSample } from './norms.ts';

/** The radius of each sample's ball `[batch]`, and the box (scalars); an image that starts outside the box is brought into it. */
export interface Bounds {
  readonly epsilon: tf.Tensor;
  readonly lower: tf.Tensor;
  readonly upper: tf.Tensor;
}

/** Where to look at the model: points `[batch, height, width, channels]`, int32 labels and targets `[batch]`. */
export interface LookInputs {
  readonly parameters: Tree<tf.Tensor>;
  readonly points: tf.Tensor;
  readonly labels: tf.Tensor;
  /** What targeted losses lead to; others do not look at it. */
  readonly targets: tf.Tensor;
}

/** What one forward and one backward pass say of each point. */
export interface Look {
  /** Of the loss, `[batch]`. */
  readonly loss: tf.Tensor;
  /** Of each sample's own loss with respect to its point. */
  readonly gradient: tf.Tensor;
  /** 1 where the model is wrong, else 0, `[batch]`. */
  readonly wrong: tf.Tensor;
}

export interface MoveInputs extends Bounds {
  readonly images: tf.Tensor;
  readonly points: tf.Tensor;
  /** Where to go, shaped like the images: the gradient of what is to be raised. */
  readonly gradient: tf.Tensor;
  /** Length of the step in the norm, `[batch]`. */
  readonly stepSize: tf.Tensor;
}

/** The nearest point in the ball around the image, then in the box (which cannot leave the ball of an image that lies in the box). */
export function confine(norm: Norm, images: tf.Tensor, candidate: tf.Tensor, bounds: Bounds): tf.Tensor {
  return boxed(tf.add(images, norm.project(tf.sub(candidate, images), bounds.epsilon)), bounds);
}

function boxed(points: tf.Tensor, { lower, upper }: Bounds): tf.Tensor {
  return tf.minimum(tf.maximum(points, lower), upper);
}

/** The loss at a point and the way up: one forward and one backward pass. */
export function look(forward: Classifier['forward'], loss: AttackLoss, inputs: LookInputs): Look {
  const { parameters, points, labels, targets } = inputs;
  const { value: logits, pullback } = vjp((x) => forward(parameters, x), points);
  // Of the sum over the batch, so that a sample's gradient does not depend on its neighbours.
  const gradient = pullback(grad((z) => tf.sum(loss.value(z, labels, targets)))(logits));
  return { loss: loss.value(logits, labels, targets), gradient, wrong: isWrong(logits, labels) };
}

/** 1 where another class has a higher logit than the label, else 0. With a confidence: where it is higher by at least that. */
export function isWrong(logits: tf.Tensor, labels: tf.Tensor, confidence?: tf.Tensor): tf.Tensor {
  const lead = margin.value(logits, labels, labels);
  const wrong = tf.greater(lead, tf.scalar(0));
  return asNumber(confidence ? tf.logicalAnd(wrong, tf.greaterEqual(lead, confidence)) : wrong);
}

/** A step along the gradient, then back into the ball and the box. Source: Madry et al., arXiv 1706.06083. */
export function move(norm: Norm, inputs: MoveInputs): tf.Tensor {
  const { images, points, stepSize } = inputs;
  const known = finite(inputs.gradient);
  const gradient = norm.isSparse ? unstopped({ ...inputs, gradient: known }) : known;
  return confine(norm, images, tf.add(points, tf.mul(norm.normalize(gradient), perSample(stepSize, points))), inputs);
}

/** The gradient, zero where it is not a number: an attack goes on as well as it can, and the masking verdict counts such gradients. */
export function finite(gradient: tf.Tensor): tf.Tensor {
  // Not a number is less than nothing.
  return tf.where(tf.less(tf.abs(gradient), tf.scalar(3e38)), gradient, tf.zerosLike(gradient));
}

/** The gradient, zero where the box stops the point. */
function unstopped({ points, gradient, lower, upper }: MoveInputs): tf.Tensor {
  const up = tf.mul(asNumber(tf.less(points, upper)), tf.relu(gradient));
  const down = tf.mul(asNumber(tf.greater(points, lower)), tf.relu(tf.neg(gradient)));
  return tf.sub(up, down);
}

export type StepInputs = LookInputs & Omit<MoveInputs, 'gradient'>;

/**
 * One step of projected gradient ascent on the loss: a traced function, to be compiled as it is or used inside another one (adversarial training).
 * `wrong` and `loss` are those of the point before the step.
 */
export function gradientStep(
  forward: Classifier['forward'],
  norm: Norm,
  loss: AttackLoss,
): (inputs: StepInputs) => { readonly points: tf.Tensor; readonly wrong: tf.Tensor; readonly loss: tf.Tensor } {
  return (inputs) => {
    const { gradient, wrong, loss: value } = look(forward, loss, inputs);
    return { points: move(norm, { ...inputs, gradient }), wrong, loss: value };
  };
}

/** Traced functions, the same object for the same arguments. */
export const gradientStepOf = memoise(gradientStep);

export const lookOf = memoise(
  (forward: Classifier['forward'], loss: AttackLoss) =>
    (inputs: LookInputs): Record<keyof Look, tf.Tensor> => ({ ...look(forward, loss, inputs) }),
);

export const moveOf = memoise((norm: Norm) => (inputs: MoveInputs) => ({ points: move(norm, inputs) }));

/** `images + epsilon * unit`, confined: the random start of an attack. `unit` holds a point of the unit ball per sample. */
export const startOf = memoise(
  (norm: Norm) => (inputs: Bounds & { readonly images: tf.Tensor; readonly unit: tf.Tensor }) => ({
    points: confine(
      norm,
      inputs.images,
      tf.add(inputs.images, tf.mul(inputs.unit, perSample(inputs.epsilon, inputs.images))),
      inputs,
    ),
  }),
);

/** Any point, brought into the ball and the box. */
export const confineOf = memoise(
  (norm: Norm) => (inputs: Bounds & { readonly images: tf.Tensor; readonly points: tf.Tensor }) => ({
    points: confine(norm, inputs.images, inputs.points, inputs),
  }),
);
