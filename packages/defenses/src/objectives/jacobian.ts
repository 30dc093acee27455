import { vjp } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { jacobianPenalty, jacobianPenaltyByDifferences } from './jacobian-norm.ts';
import { defineObjective } from './objective.ts';
import { meanCrossEntropy, projectionInputs } from './penalties.ts';
import {
  estimatorSettings,
  jacobianEstimatorRule,
  jacobianRule,
  jacobianSettings,
  rampOf,
  rampRule,
  rampSettings,
  someWeight,
  withRules,
} from './settings.ts';

/** Hoffman et al., "Robust Learning with Jacobian Regularization", arXiv 1908.02729. */
export const jacobian = defineObjective({
  name: 'jacobian',
  summary: 'cross-entropy and the norm of the Jacobian of the logits (Hoffman et al. 2019): one half of J-SIGR',
  source: 'Hoffman et al. 2019, arXiv 1908.02729; not squared: Jakubovitz and Giryes 2018, arXiv 1803.08680',
  settings: withRules({ ...jacobianSettings, ...estimatorSettings, ...rampSettings() }, [
    rampRule,
    jacobianRule,
    jacobianEstimatorRule,
    someWeight('jacobianWeight'),
  ]),
  bind: (settings) => ({
    ramp: rampOf(settings),
    inputs: (batch) => projectionInputs(settings.projections, batch),
    loss: (batch) => {
      const { value: logits, pullback } = vjp(batch.forward, batch.images);
      const shared = { logits, pullback };
      const norm =
        settings.estimator === 'exact'
          ? jacobianPenalty(shared, settings, batch.inputs)
          : jacobianPenaltyByDifferences(shared, settings, batch, settings.differenceStep);
      return {
        logits,
        terms: {
          crossEntropy: meanCrossEntropy(logits, batch),
          jacobian: tf.mul(norm, tf.mul(batch.ramp, settings.jacobianWeight)),
        },
      };
    },
  }),
});
