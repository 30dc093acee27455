import { vjp } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import type * as z from 'zod';
import { jacobianPenalty, jacobianPenaltyByDifferences } from './jacobian-norm.ts';
import { type BoundObjective, defineObjective } from './objective.ts';
import { meanCrossEntropy, projectionInputs } from './penalties.ts';
import { saliencyPlan, saliencyRule, selectiveInputs, selectiveRules, selectiveTerms } from './selective.ts';
import {
  estimatorSettings,
  gradientSettings,
  jacobianEstimatorRule,
  jacobianRule,
  jacobianSettings,
  maskSetting,
  rampOf,
  rampRule,
  rampSettings,
  withRules,
} from './settings.ts';

export const jsigrShape = {
  ...jacobianSettings,
  ...gradientSettings,
  mask: maskSetting('hard'),
  ...estimatorSettings,
  ...rampSettings(),
};
export const jsigrRules = [rampRule, jacobianRule, jacobianEstimatorRule, ...selectiveRules, saliencyRule];
const settings = withRules(jsigrShape, jsigrRules);

/**
 * Our reading of Liu, Wu, et al., "Jacobian Norm with Selective Input Gradient Regularization", arXiv 2207.13036:
 *
 *     L = mean_i CE(z_i, y_i) + lambda_J / 2 mean_i ||dz_i/dx_i||_F^2 + lambda_S mean_i ||(1 - M_i) dg_i/dx_i||_2^2
 *
 * All terms share one forward pass; the derivatives by the parameters are exact (double backpropagation), or with
 * `estimator: finite-difference` those of finite differences along the gradients.
 */
export const jsigr = defineObjective({
  name: 'jsigr',
  summary: 'cross-entropy, Jacobian norm and selective input-gradient norm: robustness without an inner attack',
  source: 'our reading of Liu, Wu et al. 2022, arXiv 2207.13036',
  settings,
  bind: bindJsigr,
});

export function bindJsigr(bound: z.output<typeof settings>): BoundObjective {
  const saliency = saliencyPlan(bound);
  return {
    ramp: rampOf(bound),
    ...(saliency ? { saliency } : {}),
    inputs: (batch) => ({
      ...projectionInputs(bound.projections, batch),
      ...selectiveInputs(bound, batch),
    }),
    loss: (batch) => {
      const { value: logits, pullback } = vjp(batch.forward, batch.images);
      const shared = { logits, pullback };
      const norm =
        bound.estimator === 'exact'
          ? jacobianPenalty(shared, bound, batch.inputs)
          : jacobianPenaltyByDifferences(shared, bound, batch, bound.differenceStep);
      return {
        logits,
        terms: {
          crossEntropy: meanCrossEntropy(logits, batch),
          jacobian: tf.mul(norm, tf.mul(batch.ramp, bound.jacobianWeight)),
          ...selectiveTerms(bound, shared, batch),
        },
      };
    },
  };
}
