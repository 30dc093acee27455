import { z } from 'zod';
import { defineAttack } from './attack.ts';
import { randomStart } from './compiled.ts';

/** Uniform noise in the ball: what a perturbation of this size does without any knowledge of the model. */
export const noise = defineAttack({
  name: 'noise',
  summary: 'Uniform random noise in the ball: the control that every attack must beat',
  access: 'control',
  norms: ['linf', 'l2'],
  settings: z.strictObject({
    restarts: z.number().int().min(1).max(1000).default(1).describe('Draws tried on a sample that resists, 1..1000'),
  }),
  restarts: ({ restarts }) => restarts,
  cost: () => ({ forwards: 0, backwards: 0 }),
  run: async (context) => {
    const adversarial = await randomStart(context, 'noise.draw');
    context.onStep?.(adversarial, 0);
    return adversarial;
  },
});
