import * as tf from '@tensorflow/tfjs-core';
import { asNumber } from './norms.ts';

/**
 * What an attack raises: a number per sample `[batch]` from logits `[batch, classes]`, int32 labels `[batch]` and int32 targets `[batch]`
 * (only targeted losses look at those). An own loss is such a value too.
 */
export interface AttackLoss {
  readonly name: string;
  readonly value: (logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) => tf.Tensor;
}

/** Cross-entropy of the label. */
export const crossEntropy: AttackLoss = {
  name: 'ce',
  value: (logits, labels) => tf.neg(tf.sum(tf.mul(oneHot(logits, labels), tf.logSoftmax(logits as tf.Tensor2D)), 1)),
};

/** Minus the cross-entropy of the target: raising it leads there. */
export const targetedCrossEntropy: AttackLoss = {
  name: 'ce-targeted',
  value: (logits, _, targets) => tf.neg(crossEntropy.value(logits, targets, targets)),
};

/**
 * The best other logit minus the label's (Carlini and Wagner, arXiv 1608.04644, f6): positive exactly where the model is wrong.
 * It does not flatten where the model is very sure, as the cross-entropy does.
 */
export const margin: AttackLoss = {
  name: 'margin',
  value: (logits, labels) => {
    const label = oneHot(logits, labels);
    return tf.sub(tf.max(without(logits, label), 1), pick(label, logits));
  },
};

/** The target's logit minus the label's. */
export const targetedMargin: AttackLoss = {
  name: 'margin-targeted',
  value: (logits, labels, targets) =>
    tf.sub(pick(oneHot(logits, targets), logits), pick(oneHot(logits, labels), logits)),
};

/**
 * Difference of logits ratio (Croce and Hein, arXiv 2003.01690, eq. 6): the margin, made independent of the logits' scale by the distance of the
 * largest from the third. With fewer than 3 classes there is no third: the margin itself is taken.
 */
export const dlr: AttackLoss = {
  name: 'dlr',
  value: (logits, labels, targets) => {
    if ((logits.shape[1] ?? 0) < 3) return margin.value(logits, labels, targets);
    const [first, , third] = largest(logits, 3);
    return tf.div(margin.value(logits, labels, targets), tf.add(tf.sub(first, third), tf.scalar(1e-12)));
  },
};

/** Targeted difference of logits ratio (eq. 7 there). With fewer than 4 classes there is no fourth: the targeted margin is taken. */
export const targetedDlr: AttackLoss = {
  name: 'dlr-targeted',
  value: (logits, labels, targets) => {
    if ((logits.shape[1] ?? 0) < 4) return targetedMargin.value(logits, labels, targets);
    const [first, , third, fourth] = largest(logits, 4);
    const scale = tf.sub(first, tf.mul(tf.add(third, fourth), tf.scalar(0.5)));
    return tf.div(targetedMargin.value(logits, labels, targets), tf.add(scale, tf.scalar(1e-12)));
  },
};

export const losses = { ce: crossEntropy, margin, dlr } as const;

export type LossName = keyof typeof losses;

/** Each loss and the one that leads to a target. */
export const targetedLosses: Readonly<Record<LossName, AttackLoss>> = {
  ce: targetedCrossEntropy,
  margin: targetedMargin,
  dlr: targetedDlr,
};

/** The `count` largest logits of each sample, `[batch]` each, in descending order. */
function largest(logits: tf.Tensor, count: 3 | 4): [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor] {
  const found: tf.Tensor[] = [];
  let rest = logits;
  for (let i = 0; i < count; i++) {
    found.push(tf.max(rest, 1));
    rest = without(rest, oneHot(rest, tf.argMax(rest, 1)));
  }
  const [a = rest, b = rest, c = rest, d = rest] = found;
  return [a, b, c, d];
}

/** Lower than any logit: nearly the smallest float32, so that what is subtracted from it stays finite. */
const OUT_OF_REACH = -3e38;

/** The logits, the marked one of each sample out of the way. */
function without(logits: tf.Tensor, marked: tf.Tensor): tf.Tensor {
  return tf.where(tf.greater(marked, tf.scalar(0)), tf.fill(logits.shape, OUT_OF_REACH), logits);
}

function pick(marked: tf.Tensor, logits: tf.Tensor): tf.Tensor {
  return tf.sum(tf.mul(marked, logits), 1);
}

/** `[batch, classes]` with a 1 at each sample's class. */
export function oneHot(logits: tf.Tensor, classes: tf.Tensor): tf.Tensor {
  return asNumber(tf.oneHot(tf.cast(classes, 'int32'), logits.shape[1] ?? 1));
}
