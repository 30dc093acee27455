import { vjp } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import { defineObjective } from './objective.ts';
import { crossEntropy, jacobianPenalty, projectionInputs } from './penalties.ts';
import { saliencyPlan, selectiveInputs, selectiveTerms } from './selective.ts';
import {
  gradientSettings,
  jacobianSettings,
  maskSetting,
  RAMP_ORDER,
  rampInOrder,
  rampOf,
  rampSettings,
} from './settings.ts';

/**
 * Our reading of Liu, Wu, et al., "Jacobian Norm with Selective Input Gradient Regularization", arXiv 2207.13036:
 *
 *     L = mean_i CE(z_i, y_i) + lambda_J / 2 mean_i ||dz_i/dx_i||_F^2 + lambda_S mean_i ||(1 - M_i) dg_i/dx_i||_2^2
 *
 * All terms share one forward pass; the derivatives by the parameters are exact (double backpropagation).
 */
export const jsigr = defineObjective({
  name: 'jsigr',
  summary: 'cross-entropy, Jacobian norm and selective input-gradient norm: robustness without an inner attack',
  settings: z
    .strictObject({
      ...jacobianSettings,
      ...gradientSettings,
      mask: maskSetting('hard'),
      ...rampSettings,
    })
    .refine(rampInOrder, RAMP_ORDER),
  bind: (settings) => {
    const saliency = saliencyPlan(settings);
    return {
      ramp: rampOf(settings),
      ...(saliency ? { saliency } : {}),
      inputs: (batch) => ({
        ...projectionInputs(settings.projections, batch),
        ...selectiveInputs(settings, batch),
      }),
      loss: (batch) => {
        const { value: logits, pullback } = vjp(batch.forward, batch.images);
        const norm = jacobianPenalty({ logits, pullback }, settings.projections, batch.inputs);
        return {
          logits,
          terms: {
            crossEntropy: tf.mean(crossEntropy(logits, batch.labels)),
            jacobian: tf.mul(norm, tf.mul(batch.ramp, settings.jacobianWeight)),
            ...selectiveTerms(settings, { logits, pullback }, batch),
          },
        };
      },
    };
  },
});
