import { z } from 'zod';
import { defineAttack } from './attack.ts';
import { decaySetting } from './mi-fgsm.ts';
import { countSetting, lossSetting } from './settings.ts';
import { craft, craftCost } from './transfer/craft.ts';
import { pieces, recipeOf } from './transfer/recipe.ts';

/** Any transfer attack that is made of momentum, input transformations and gradient transformations: `mi+di+ti` is a setting. */
export const transfer = defineAttack({
  name: 'transfer',
  summary: 'Gradient steps on the surrogates by a recipe of pieces, such as mi+di+ti or ni+admix+si',
  access: 'transfer',
  norms: ['linf', 'l2', 'l1'],
  settings: z.strictObject({
    recipe: z
      .string()
      .max(100)
      .default('mi+di+ti')
      .superRefine((text, context) => {
        try {
          recipeOf(text);
        } catch (error) {
          const message = error instanceof Error ? error.message.replace('settings.recipe: ', '') : String(error);
          context.addIssue({ code: 'custom', message });
        }
      })
      .describe(`Pieces joined by +: ${Object.keys(pieces).join(', ')}`),
    fusion: z
      .enum(['logits', 'probabilities', 'losses'])
      .default('logits')
      .describe('What the surrogates are joined by: their mean logits, probabilities or losses'),
    steps: countSetting(1000, 10, 'Gradient steps, each epsilon / steps long'),
    decay: decaySetting,
    loss: lossSetting,
  }),
  cost: ({ recipe, steps }) => craftCost(recipeOf(recipe), steps),
  run: (context, settings) => craft(context, { ...settings, recipe: recipeOf(settings.recipe) }),
});
