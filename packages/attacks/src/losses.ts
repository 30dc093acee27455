import * as tf from '@tensorflow/tfjs-core';

export type LossName = 'ce' | 'margin';

/** What an untargeted attack raises: a number per sample `[batch]` from logits `[batch, classes]` and int32 labels `[batch]`. */
export interface AttackLoss {
  readonly name: string;
  readonly value: (logits: tf.Tensor, labels: tf.Tensor) => tf.Tensor;
}

/** Cross-entropy of the label. */
export const crossEntropy: AttackLoss = {
  name: 'ce',
  value: (logits, labels) => tf.neg(tf.sum(tf.mul(oneHot(logits, labels), tf.logSoftmax(logits as tf.Tensor2D)), 1)),
};

/**
 * The best other logit minus the label's (Carlini and Wagner, arXiv 1608.04644, f6): positive exactly where the model is wrong.
 * It does not flatten where the model is very sure, as the cross-entropy does.
 */
export const margin: AttackLoss = {
  name: 'margin',
  value: (logits, labels) => {
    const label = oneHot(logits, labels);
    const others = tf.sub(logits, tf.mul(label, tf.scalar(OUT_OF_REACH)));
    return tf.sub(tf.max(others, 1), tf.sum(tf.mul(label, logits), 1));
  },
};

export const losses: Readonly<Record<LossName, AttackLoss>> = { ce: crossEntropy, margin };

/** Lowers the label's logit below every other one. */
const OUT_OF_REACH = 1e9;

function oneHot(logits: tf.Tensor, labels: tf.Tensor): tf.Tensor {
  return tf.cast(tf.oneHot(tf.cast(labels, 'int32'), logits.shape[1] ?? 1), 'float32');
}
