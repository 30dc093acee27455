import { vjp } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import type * as z from 'zod';
import { jacobianPenalty } from './jacobian-norm.ts';
import { type BoundObjective, defineObjective, type TracedLoss } from './objective.ts';
import { meanCrossEntropy, projectionInputs } from './penalties.ts';
import { saliencyPlan, saliencyRule, selectiveInputs, selectiveRules, selectiveTerms } from './selective.ts';
import {
  type Estimator,
  estimatorSettings,
  gradientSettings,
  jacobianRule,
  jacobianSettings,
  maskSetting,
  type Rule,
  rampOf,
  rampRule,
  rampSettings,
  someWeight,
  withRules,
} from './settings.ts';
import { sharedDifferences } from './shared-difference.ts';

export const jsigrShape = {
  ...jacobianSettings,
  ...gradientSettings,
  mask: maskSetting('hard'),
  ...estimatorSettings,
  ...rampSettings(),
};
/** One finite difference serves both terms: there is none for another projection. */
const oneProjection: Rule<{ readonly projections: number; readonly estimator: Estimator }> = {
  field: 'projections',
  message: 'must be 1 with estimator=finite-difference: one forward pass measures both terms',
  holds: ({ projections, estimator }) => estimator === 'exact' || projections === 1,
};
const anyWeight = someWeight('jacobianWeight', 'gradientWeight', 'imitationWeight');
export const jsigrRules = [rampRule, jacobianRule, oneProjection, ...selectiveRules, saliencyRule, anyWeight];
const settings = withRules(jsigrShape, jsigrRules);

/**
 * Our reading of Liu, Wu, et al., "Jacobian Norm with Selective Input Gradient Regularization", arXiv 2207.13036:
 *
 *     L = mean_i CE(z_i, y_i) + lambda_J / 2 mean_i ||dz_i/dx_i||_F^2 + lambda_S mean_i ||(1 - M_i) dg_i/dx_i||_2^2
 *
 * All terms share one forward pass; the derivatives by the parameters are exact (double backpropagation), or with
 * `estimator: finite-difference` those of one finite difference, which half a batch uses for each of the two penalties.
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
    ...(bound.estimator === 'exact' ? {} : { leastBatch: 2 }),
    ...(saliency ? { saliency, saliencyIsOptional: bound.jacobianWeight > 0 } : {}),
    inputs: (batch) => ({
      ...projectionInputs(bound.projections, batch),
      ...selectiveInputs(bound, batch),
    }),
    loss: (batch): TracedLoss => {
      const { value: logits, pullback } = vjp(batch.forward, batch.images);
      const shared = { logits, pullback };
      if (bound.estimator === 'finite-difference') {
        const { jacobian, inputGradient } = sharedDifferences(bound, shared, batch);
        return {
          logits,
          terms: {
            crossEntropy: meanCrossEntropy(logits, batch),
            jacobian: tf.mul(jacobian, tf.mul(batch.ramp, bound.jacobianWeight)),
            inputGradient: tf.mul(inputGradient, tf.mul(batch.ramp, bound.gradientWeight)),
          },
        };
      }
      const norm = jacobianPenalty(shared, bound, batch.inputs);
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
