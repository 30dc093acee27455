import { vjp } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import { defineObjective } from './objective.ts';
import { crossEntropy, jacobianPenalty, projectionInputs } from './penalties.ts';
import { jacobianSettings, RAMP_ORDER, rampInOrder, rampOf, rampSettings } from './settings.ts';

/** Hoffman et al., "Robust Learning with Jacobian Regularization", arXiv 1908.02729. */
export const jacobian = defineObjective({
  name: 'jacobian',
  summary: 'cross-entropy and the norm of the Jacobian of the logits (Hoffman et al. 2019): one half of J-SIGR',
  settings: z.strictObject({ ...jacobianSettings, ...rampSettings }).refine(rampInOrder, RAMP_ORDER),
  bind: (settings) => ({
    ramp: rampOf(settings),
    inputs: (batch) => projectionInputs(settings.projections, batch),
    loss: ({ forward, images, labels, ramp, inputs }) => {
      const { value: logits, pullback } = vjp(forward, images);
      const norm = jacobianPenalty({ logits, pullback }, settings.projections, inputs);
      return {
        logits,
        terms: {
          crossEntropy: tf.mean(crossEntropy(logits, labels)),
          jacobian: tf.mul(norm, tf.mul(ramp, settings.jacobianWeight)),
        },
      };
    },
  }),
});
