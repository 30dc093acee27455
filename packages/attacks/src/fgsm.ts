import { z } from 'zod';
import { defineAttack } from './attack.ts';
import { climb } from './pgd.ts';

/** The fast gradient (sign) method, Goodfellow et al., arXiv 1412.6572: PGD with one step of length epsilon and no random start. */
export const fgsm = defineAttack({
  name: 'fgsm',
  summary: 'One gradient step of length epsilon: PGD with one step and no random start (Goodfellow et al. 2015)',
  access: 'white-box',
  norms: ['linf', 'l2'],
  settings: z.strictObject({
    loss: z
      .enum(['ce', 'margin'])
      .default('ce')
      .describe('What is raised: cross-entropy, or best other logit minus the label’s'),
  }),
  cost: () => ({ forwards: 1, backwards: 1 }),
  run: (context, { loss }) =>
    climb(context, context.images, { steps: 1, stepSize: context.epsilon, loss, keep: 'last' }),
});
