import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { adversarialExamples } from './inner-attack.ts';
import { defineObjective } from './objective.ts';
import { divergence, meanCrossEntropy, weightedMean } from './penalties.ts';
import { rampOf } from './settings.ts';
import { divergenceSettings, logitsOfBoth } from './two-images.ts';

/**
 * Wang et al., "Improving Adversarial Robustness Requires Revisiting Misclassified Examples", ICLR 2020, equation 10:
 * boosted cross-entropy of the adversarial examples, and beta mean KL(p(x) || p(x')) (1 - p_y(x)), which looks at what is misclassified.
 */
export const mart = defineObjective({
  name: 'mart',
  summary:
    'boosted cross-entropy of adversarial examples, and a divergence that weighs misclassified images more (Wang et al. 2020)',
  source: 'Wang et al., ICLR 2020',
  settings: divergenceSettings(5, 'beta (lambda in the paper), the weight of the divergence, 0..10000; usual: 5 to 6'),
  bind: (settings) => ({
    ramp: rampOf(settings),
    inputs: () => ({}),
    prepare: async (context) => ({
      images: await adversarialExamples({ ...settings, randomStart: true }, context),
      inputs: { clean: context.images },
    }),
    loss: (batch) => {
      const { logits, others: clean } = logitsOfBoth(batch, 'clean');
      const doubt = tf.sub(1, tf.sum(tf.mul(tf.softmax(clean), batch.labels), 1));
      return {
        logits,
        terms: {
          crossEntropy: meanCrossEntropy(logits, batch),
          margin: weightedMean(marginTerm(logits, batch.labels), batch.weights),
          divergence: tf.mul(
            tf.mean(tf.mul(divergence(clean, logits), doubt)),
            tf.mul(batch.ramp, settings.divergenceWeight),
          ),
        },
      };
    },
  }),
});

/** Keeps the logarithm finite where another class has probability 1 (the authors' constant). */
const SPARE = 1.0001;

/** -log(1.0001 - the largest probability of another class), `[batch]`: what boosts the cross-entropy. */
function marginTerm(logits: Tensor, labels: Tensor): Tensor {
  // Probabilities are at most 1: minus 2 the label's is never the largest.
  const others = tf.sub(tf.softmax(logits), tf.mul(labels, 2));
  return tf.neg(tf.log(tf.sub(SPARE, tf.max(others, 1))));
}
