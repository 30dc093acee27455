import { vjp } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import { dualDirection, slopeAlong } from './directional-slope.ts';
import { defineObjective } from './objective.ts';
import { crossEntropy, inputGradient, meanCrossEntropy } from './penalties.ts';
import { differenceSettings, rampOf, rampRule, rampSettings, someWeight, weight, withRules } from './settings.ts';

/**
 * Finlay and Oberman, "Scaleable input gradient regularization for adversarial robustness", arXiv 1905.11468:
 *
 *     L = mean_i l_i + lambda / 2 mean_i ((l_i(x_i + h d_i) - l_i(x_i)) / h)^2,   l the cross-entropy, d a constant
 *
 * d is the direction of the dual norm: the unit gradient against l2 attacks, sign(gradient) / sqrt(N) against linf ones.
 */
export const finiteDifference = defineObjective({
  name: 'finite-difference',
  summary:
    'cross-entropy and the input gradient by finite differences (Finlay and Oberman 2019): no second derivatives',
  source: 'Finlay and Oberman 2019, arXiv 1905.11468',
  settings: withRules(
    {
      gradientWeight: weight(0.1).describe(
        'lambda, the weight of half the mean squared slope of the cross-entropy, 0..10000',
      ),
      norm: z
        .enum(['linf', 'l2'])
        .default('l2')
        .describe('the attacks that are defended against: the slope is the dual norm of the gradient'),
      ...differenceSettings,
      ...rampSettings(),
    },
    [rampRule, someWeight('gradientWeight')],
  ),
  bind: (settings) => ({
    ramp: rampOf(settings),
    inputs: () => ({}),
    loss: (batch) => {
      const { forward, images, ramp, targets } = batch;
      const { value: logits, pullback } = vjp(forward, images);
      const direction = dualDirection(settings.norm, inputGradient('cross-entropy', { logits, pullback }, batch));
      const slope = slopeAlong(
        (x) => crossEntropy(forward(x), targets),
        crossEntropy(logits, targets),
        { images, direction },
        { step: settings.differenceStep, scheme: settings.scheme },
      );
      return {
        logits,
        terms: {
          crossEntropy: meanCrossEntropy(logits, batch),
          inputGradient: tf.mul(tf.mean(tf.square(slope)), tf.mul(ramp, settings.gradientWeight / 2)),
        },
      };
    },
  }),
});
