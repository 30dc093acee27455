import { z } from 'zod';
import { defineAttack } from './attack.ts';
import { climb } from './pgd.ts';
import { countSetting, eotSetting, lossSetting, targetSetting } from './settings.ts';

/** The basic iterative method, Kurakin et al., arXiv 1607.02533: PGD without a random start, with steps that add up to epsilon. */
export const bim = defineAttack({
  name: 'bim',
  summary: 'Gradient steps of length epsilon / steps from the image itself (Kurakin et al. 2017)',
  access: 'white-box',
  norms: ['linf', 'l2', 'l1'],
  targeted: true,
  settings: z.strictObject({
    steps: countSetting(1000, 10, 'Gradient steps'),
    loss: lossSetting,
    target: targetSetting,
    eot: eotSetting,
  }),
  cost: ({ steps }) => ({ forwards: steps, backwards: steps }),
  run: (context, settings) =>
    climb(context, { ...settings, stepSizeOf: (epsilon) => epsilon / settings.steps, keep: 'first-success' }),
});
