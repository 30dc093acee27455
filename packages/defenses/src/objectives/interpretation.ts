import { float32, scalar, sizeOf, vjp } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import { defineObjective } from './objective.ts';
import { cosineDistance, inputGradient, meanCrossEntropy, TINY } from './penalties.ts';
import {
  gradientSettings,
  rampOf,
  rampRule,
  rampSettings,
  SALIENCY_SOURCES,
  someWeight,
  weight,
  withRules,
} from './settings.ts';

/**
 * Noack et al., "An Empirical Study on the Relation between Network Interpretability and Adversarial Robustness", arXiv 1912.03430:
 *
 *     L = mean CE + l_cs (1 - mean_i cos(dz_y/dx_i, T_i)) + l_gm ||dz_y/dx||_F over the minibatch
 *
 * T is SmoothGrad of a robust teacher, entries within mean +- threshold * deviation of the image set to zero. Maps have one channel here:
 * of colour images the sums over the channels are compared.
 */
export const interpretation = defineObjective({
  name: 'interpretation',
  summary:
    "cross-entropy, and the gradient of the label's logit held against a robust teacher's SmoothGrad (Noack et al. 2021)",
  source: 'Noack et al. 2021, arXiv 1912.03430',
  settings: withRules(
    {
      cosineWeight: weight(1).describe(
        'l_cs, the weight of 1 - the mean cosine between gradient and target map, 0..10000',
      ),
      normWeight: weight(0.01).describe(
        'l_gm, the weight of the norm of the gradients of the whole batch (not squared), 0..10000',
      ),
      targetThreshold: z
        .number()
        .min(0)
        .max(10)
        .default(1)
        .describe('entries of the target map within so many standard deviations of its mean are set to zero, 0..10'),
      targetSamples: z
        .int()
        .min(1)
        .max(1000)
        .default(50)
        .describe('noisy copies that a target map is averaged over, of methods that have them (smoothgrad), 1..1000'),
      saliencyMethod: gradientSettings.saliencyMethod.default('smoothgrad'),
      saliencySource: z
        .enum(SALIENCY_SOURCES)
        .default('teacher')
        .describe('whose maps: teacher (a fixed, robust network, given with the run) or self'),
      maskWarmupEpochs: gradientSettings.maskWarmupEpochs.default(0),
      maskRefreshEpochs: gradientSettings.maskRefreshEpochs,
      saliencyStride: gradientSettings.saliencyStride,
      ...rampSettings(),
    },
    [rampRule, someWeight('cosineWeight', 'normWeight')],
  ),
  bind: (settings) => ({
    ramp: rampOf(settings),
    saliency: {
      warmupEpochs: settings.maskWarmupEpochs,
      refreshEpochs: settings.maskRefreshEpochs,
      stride: settings.saliencyStride,
      method: settings.saliencyMethod,
      source: settings.saliencySource,
      samples: settings.targetSamples,
      signedThreshold: settings.targetThreshold,
    },
    inputs: ({ batchSize, input: [height, width], saliency }) => {
      const shape = [batchSize, height, width, 1];
      return {
        target: saliency ?? float32(new Float32Array(sizeOf(shape)), shape),
        known: scalar(saliency ? 1 : 0),
      };
    },
    loss: (batch) => {
      const { ramp, inputs } = batch;
      const { value: logits, pullback } = vjp(batch.forward, batch.images);
      const gradient = inputGradient('logit', { logits, pullback }, batch);
      const distance = cosineDistance(tf.sum(gradient, 3, true), inputs.target ?? gradient);
      const norm = tf.sqrt(tf.add(tf.sum(tf.square(gradient)), TINY));
      return {
        logits,
        terms: {
          crossEntropy: meanCrossEntropy(logits, batch),
          interpretation: tf.mul(distance, tf.mul(tf.mul(ramp, inputs.known ?? 1), settings.cosineWeight)),
          gradientNorm: tf.mul(norm, tf.mul(ramp, settings.normWeight)),
        },
      };
    },
  }),
});
