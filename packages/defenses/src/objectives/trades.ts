import * as tf from '@tensorflow/tfjs-core';
import { divergingExamples } from './diverging.ts';
import { attackSettings, ballRule } from './inner-attack.ts';
import { defineObjective } from './objective.ts';
import { divergence, meanCrossEntropy } from './penalties.ts';
import { rampOf, rampRule, rampSettings, weight, withRules } from './settings.ts';

/** Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", arXiv 1901.08573, equation 3 and algorithm 1. */
export const trades = defineObjective({
  name: 'trades',
  summary: 'clean cross-entropy, and how far the prediction moves within the ball (Zhang et al. 2019)',
  source: 'Zhang et al. 2019, arXiv 1901.08573',
  settings: withRules(
    {
      ...attackSettings,
      divergenceWeight: weight(6).describe(
        'beta (1/lambda in the paper), the weight of mean KL(p(x) || p(x adversarial)), 0..10000; usual: 1 for MNIST, 6 for CIFAR-10',
      ),
      ...rampSettings(0),
    },
    [ballRule, rampRule],
  ),
  bind: (settings) => ({
    ramp: rampOf(settings),
    inputs: () => ({}),
    prepare: async (context) => ({
      images: context.images,
      inputs: { adversarial: await divergingExamples(settings, context) },
    }),
    loss: (batch) => {
      const logits = batch.forward(batch.images);
      const moved = batch.forward(batch.inputs.adversarial ?? batch.images);
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
