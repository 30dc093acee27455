import { z } from 'zod';
import { defineAttack } from './attack.ts';
import { climb } from './pgd.ts';
import { eotSetting, lossSetting, targetSetting } from './settings.ts';

/** The fast gradient (sign) method, Goodfellow et al., arXiv 1412.6572: PGD with one step of length epsilon and no random start. */
export const fgsm = defineAttack({
  name: 'fgsm',
  summary: 'One gradient step of length epsilon: PGD with one step and no random start (Goodfellow et al. 2015)',
  access: 'white-box',
  norms: ['linf', 'l2'],
  targeted: true,
  settings: z.strictObject({ loss: lossSetting, target: targetSetting, eot: eotSetting }),
  cost: () => ({ forwards: 1, backwards: 1 }),
  run: (context, settings) => climb(context, { ...settings, steps: 1, stepSizeOf: (epsilon) => epsilon, keep: 'last' }),
});
