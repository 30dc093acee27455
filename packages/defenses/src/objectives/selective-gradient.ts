import { bindGradientObjective } from './input-gradient.ts';
import { defineObjective } from './objective.ts';
import { saliencyRule, selectiveRules, weightRule } from './selective.ts';
import { estimatorSettings, gradientSettings, maskSetting, rampRule, rampSettings, withRules } from './settings.ts';

/**
 * The selective half of J-SIGR alone: mean CE + lambda_S mean ||(1 - M) dg/dx||^2 with a perturbation-based mask, and on demand the variant
 * that pulls the size of the input gradient towards the saliency, lambda_M mean (1 - cos(|dg/dx|, S)). Both are our readings. The nearest
 * published relative, DIGR (arXiv 2205.08685), penalises the gradient where perturbation saliency is below a threshold.
 */
export const selectiveGradient = defineObjective({
  name: 'selective',
  summary:
    'cross-entropy and the input gradient outside the salient pixels, or its distance from the saliency: J-SIGR without its Jacobian norm',
  source: 'our reading of Liu, Wu et al. 2022, arXiv 2207.13036; cf. DIGR, arXiv 2205.08685',
  settings: withRules({ ...gradientSettings, mask: maskSetting('hard'), ...estimatorSettings, ...rampSettings() }, [
    rampRule,
    ...selectiveRules,
    saliencyRule,
    weightRule,
  ]),
  bind: bindGradientObjective,
});
