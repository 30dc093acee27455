import { normNamed, pgd } from '@jsigr/attacks';
import * as z from 'zod';
import { defineObjective } from './objective.ts';
import { standard } from './standard.ts';

const settings = z
  .strictObject({
    epsilon: z
      .number()
      .min(0)
      .max(1000)
      .default(0.1)
      .describe('radius of the ball, in units of the images (0..1 for linf); usual: 0.3 for MNIST, 8/255 for CIFAR-10'),
    norm: z.enum(['linf', 'l2']).default('linf').describe('the ball: linf or l2'),
    steps: z.int().min(1).max(100).default(7).describe('attack steps on every batch, 1..100'),
    stepSize: z
      .number()
      .positive()
      .max(1000)
      .optional()
      .describe('length of a step, in units of the images; 2.5 epsilon / steps if not given'),
    randomStart: z.boolean().default(true).describe('start at a random point of the ball instead of the image'),
  })
  .refine(({ norm, epsilon }) => norm !== 'linf' || epsilon <= 1, {
    path: ['epsilon'],
    message: 'must be at most 1 for linf',
  });

/** Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", arXiv 1706.06083. */
export const pgdAdversarialTraining = defineObjective({
  name: 'pgd-at',
  summary:
    'cross-entropy of adversarial examples that PGD makes of every batch (Madry et al. 2018): the costly baseline',
  settings,
  bind: ({ epsilon, norm, ...attack }) => ({
    ...standard.bind({}),
    prepare: async ({ engine, classifier, images, labels, seed, step, sampleIndices, signal }) => {
      const context = {
        engine,
        source: classifier,
        images,
        labels,
        norm: normNamed(norm, 'objective.settings.norm'),
        epsilons: sampleIndices.map(() => epsilon),
        seed,
        attempts: sampleIndices.map(() => step),
        sampleIndices,
        ...(signal ? { signal } : {}),
      };
      return (await pgd.run(context, { ...attack, restarts: 1, loss: 'ce', keep: 'last' })).adversarial;
    },
  }),
});
