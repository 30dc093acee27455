import * as tf from '@tensorflow/tfjs-core';
import { SaliencyError } from './errors.ts';

export type OutputName = 'logit' | 'probability' | 'loss';

/** What is explained, in traced functions. Logits are `[batch, classes]`, targets int32 `[batch]`. */
export interface Output {
  readonly name: OutputName;
  /** Of the target class, `[batch]`: what gradients are taken of. */
  readonly ofTarget: (logits: tf.Tensor, targets: tf.Tensor) => tf.Tensor;
  /** All that a perturbation may change, `[batch, n]`. */
  readonly vector: (logits: tf.Tensor, targets: tf.Tensor) => tf.Tensor;
}

const logit: Output = {
  name: 'logit',
  ofTarget: (logits, targets) => pick(logits, targets),
  vector: (logits) => logits,
};

const probability: Output = {
  name: 'probability',
  ofTarget: (logits, targets) => pick(probabilities(logits), targets),
  vector: (logits) => probabilities(logits),
};

/** Cross-entropy of the target class. */
const loss: Output = {
  name: 'loss',
  ofTarget: (logits, targets) => tf.neg(pick(logProbabilities(logits), targets)),
  vector: (logits, targets) => tf.reshape(loss.ofTarget(logits, targets), [-1, 1]),
};

export const outputs: Readonly<Record<OutputName, Output>> = { logit, probability, loss };

/** @throws SaliencyError UNKNOWN_OUTPUT, with the known names. */
export function outputNamed(name: string): Output {
  const output = Object.hasOwn(outputs, name) ? outputs[name as OutputName] : undefined;
  if (!output)
    throw new SaliencyError('UNKNOWN_OUTPUT', 'output', `"${name}" is none of ${Object.keys(outputs).join(', ')}`);
  return output;
}

function pick(values: tf.Tensor, targets: tf.Tensor): tf.Tensor {
  return tf.sum(tf.mul(values, tf.cast(tf.oneHot(tf.cast(targets, 'int32'), values.shape[1] ?? 1), 'float32')), 1);
}

function logProbabilities(logits: tf.Tensor): tf.Tensor {
  return tf.logSoftmax(logits as tf.Tensor2D);
}

function probabilities(logits: tf.Tensor): tf.Tensor {
  return tf.exp(logProbabilities(logits));
}
