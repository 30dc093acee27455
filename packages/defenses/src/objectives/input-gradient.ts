import { vjp } from '@jsigr/engine';
import type * as z from 'zod';
import { type BoundObjective, defineObjective } from './objective.ts';
import { meanCrossEntropy } from './penalties.ts';
import {
  type SelectiveSettings,
  saliencyPlan,
  selectiveInputs,
  selectiveRules,
  selectiveTerms,
  weightRule,
} from './selective.ts';
import {
  estimatorSettings,
  gradientSettings,
  maskSetting,
  rampOf,
  rampRule,
  rampSettings,
  withRules,
} from './settings.ts';

const settings = withRules(
  { ...gradientSettings, mask: maskSetting('none'), ...estimatorSettings, ...rampSettings() },
  [rampRule, ...selectiveRules, weightRule],
);

/** Without a mask: Ross and Doshi-Velez, AAAI 2018 (with per-sample gradients). With one: the other half of J-SIGR. */
export const inputGradientObjective = defineObjective({
  name: 'input-gradient',
  summary:
    'cross-entropy and the norm of the input gradient (Ross and Doshi-Velez 2018), with a mask: one half of J-SIGR',
  source: 'Ross and Doshi-Velez, AAAI 2018, arXiv 1711.09404',
  settings,
  bind: bindGradientObjective,
});

/** Cross-entropy and the input-gradient terms. */
export function bindGradientObjective(
  bound: SelectiveSettings & Pick<z.output<typeof settings>, 'rampStartEpoch' | 'rampEndEpoch'>,
): BoundObjective {
  const saliency = saliencyPlan(bound);
  return {
    ramp: rampOf(bound),
    ...(saliency ? { saliency } : {}),
    inputs: (batch) => selectiveInputs(bound, batch),
    loss: (batch) => {
      const { value: logits, pullback } = vjp(batch.forward, batch.images);
      return {
        logits,
        terms: { crossEntropy: meanCrossEntropy(logits, batch), ...selectiveTerms(bound, { logits, pullback }, batch) },
      };
    },
  };
}
