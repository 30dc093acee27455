import { vjp } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import { defineObjective } from './objective.ts';
import { crossEntropy } from './penalties.ts';
import { saliencyPlan, selectiveInputs, selectiveTerms } from './selective.ts';
import { gradientSettings, maskSetting, RAMP_ORDER, rampInOrder, rampOf, rampSettings } from './settings.ts';

/** Without a mask: Ross and Doshi-Velez, AAAI 2018 (with per-sample gradients). With one: the other half of J-SIGR. */
export const inputGradientObjective = defineObjective({
  name: 'input-gradient',
  summary:
    'cross-entropy and the norm of the input gradient (Ross and Doshi-Velez 2018), with a mask: one half of J-SIGR',
  settings: z
    .strictObject({ ...gradientSettings, mask: maskSetting('none'), ...rampSettings })
    .refine(rampInOrder, RAMP_ORDER),
  bind: (settings) => {
    const saliency = saliencyPlan(settings);
    return {
      ramp: rampOf(settings),
      ...(saliency ? { saliency } : {}),
      inputs: (batch) => selectiveInputs(settings, batch),
      loss: (batch) => {
        const { value: logits, pullback } = vjp(batch.forward, batch.images);
        return {
          logits,
          terms: {
            crossEntropy: tf.mean(crossEntropy(logits, batch.labels)),
            ...selectiveTerms(settings, { logits, pullback }, batch),
          },
        };
      },
    };
  },
});
