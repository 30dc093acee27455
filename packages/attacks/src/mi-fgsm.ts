import { z } from 'zod';
import { defineAttack } from './attack.ts';
import { countSetting, lossSetting } from './settings.ts';
import { craft, craftCost } from './transfer/craft.ts';
import { recipeOf } from './transfer/recipe.ts';

export const decaySetting = z.number().min(0).max(2).default(1).describe('Weight of the directions before (mu), 0..2');

const recipe = recipeOf('mi');

/** MI-FGSM, Dong et al., arXiv 1710.06081: the transfer attack with momentum alone, on the mean logits of the surrogates. */
export const miFgsm = defineAttack({
  name: 'mi-fgsm',
  summary: 'Gradient steps with momentum on the surrogates’ mean logits, for transfer (Dong et al. 2018)',
  access: 'transfer',
  norms: ['linf', 'l2', 'l1'],
  settings: z.strictObject({
    steps: countSetting(1000, 10, 'Gradient steps, each epsilon / steps long'),
    decay: decaySetting,
    loss: lossSetting,
  }),
  cost: ({ steps }) => craftCost(recipe, steps),
  run: (context, settings) => craft(context, { ...settings, recipe, fusion: 'logits' }),
});
