import * as z from 'zod';
import { adversarialExamples, attackSettings, ballRule } from './inner-attack.ts';
import { defineObjective } from './objective.ts';
import { withRules } from './settings.ts';
import { standard } from './standard.ts';

/** Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", arXiv 1706.06083. */
export const pgdAdversarialTraining = defineObjective({
  name: 'pgd-at',
  summary:
    'cross-entropy of adversarial examples that PGD makes of every batch (Madry et al. 2018): the costly baseline',
  source: 'Madry et al. 2018, arXiv 1706.06083',
  settings: withRules(
    {
      ...attackSettings,
      randomStart: z.boolean().default(true).describe('start at a random point of the ball instead of the image'),
    },
    [ballRule],
  ),
  bind: (settings) => ({
    ...standard.bind({}),
    prepare: async (context) => ({ images: await adversarialExamples(settings, context) }),
  }),
});
