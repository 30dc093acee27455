import { grad, memoise, type Tree } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import type { AttackLoss } from '../losses.ts';
import { finite, type LookInputs } from '../step.ts';

/** The loss `[batch]` of several models together, from the logits of each. */
export interface Fusion {
  readonly name: FusionName;
  readonly value: (logits: readonly tf.Tensor[], loss: (logits: tf.Tensor) => tf.Tensor) => tf.Tensor;
}

export type FusionName = 'logits' | 'probabilities' | 'losses';

/** Where several models become one (Dong et al., arXiv 1710.06081, section 3.4; Liu et al., arXiv 1611.02770). */
export const fusions: Readonly<Record<FusionName, Fusion>> = {
  logits: { name: 'logits', value: (logits, loss) => loss(meanOf(logits)) },
  // Logarithms of probabilities are logits of the same probabilities.
  probabilities: {
    name: 'probabilities',
    value: (logits, loss) => {
      const shares = meanOf(logits.map((each) => tf.softmax(each)));
      return loss(tf.log(tf.maximum(shares, tf.scalar(1e-30))));
    },
  },
  losses: { name: 'losses', value: (logits, loss) => meanOf(logits.map(loss)) },
};

function meanOf(tensors: readonly tf.Tensor[]): tf.Tensor {
  const total = tensors.reduce((sum, each) => tf.add(sum, each));
  return tf.mul(total, tf.scalar(1 / tensors.length));
}

/** The gradient of the fused loss; `parameters` are `{ member0, member1, ... }`. */
export const fusedGradientOf = memoise(
  (fusion: Fusion, loss: AttackLoss, ...forwards: Classifier['forward'][]) =>
    ({ parameters, points, labels, targets }: LookInputs) => {
      const members = parameters as { readonly [member: string]: Tree<tf.Tensor> };
      const total = (x: tf.Tensor) => {
        const logits = forwards.map((forward, i) => forward(members[`member${i}`] ?? {}, x));
        return tf.sum(fusion.value(logits, (each) => loss.value(each, labels, targets)));
      };
      return { gradient: finite(grad(total)(points)) };
    },
);
