import * as tf from '@tensorflow/tfjs-core';
import { divergingExamples } from './diverging.ts';
import { defineObjective } from './objective.ts';
import { divergence, meanCrossEntropy } from './penalties.ts';
import { rampOf, someWeight } from './settings.ts';
import { divergenceSettings, logitsOfBoth } from './two-images.ts';

/** Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", arXiv 1901.08573, equation 3 and algorithm 1. */
export const trades = defineObjective({
  name: 'trades',
  summary: 'clean cross-entropy, and how far the prediction moves within the ball (Zhang et al. 2019)',
  source: 'Zhang et al. 2019, arXiv 1901.08573',
  settings: divergenceSettings(
    6,
    'beta (1/lambda in the paper), the weight of mean KL(p(x) || p(x adversarial)), 0..10000; usual: 1 for MNIST, 6 for CIFAR-10',
    [someWeight('divergenceWeight')],
  ),
  bind: (settings) => ({
    ramp: rampOf(settings),
    inputs: () => ({}),
    prepare: async (context) => ({
      images: context.images,
      inputs: { adversarial: await divergingExamples(settings, context) },
    }),
    loss: (batch) => {
      const { logits, others: moved } = logitsOfBoth(batch, 'adversarial');
      return {
        logits,
        terms: {
          crossEntropy: meanCrossEntropy(logits, batch),
          divergence: tf.mul(tf.mean(divergence(logits, moved)), tf.mul(batch.ramp, settings.divergenceWeight)),
        },
      };
    },
  }),
});
