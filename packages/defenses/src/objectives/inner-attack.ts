import { linf, type Norm, normNamed, pgd } from '@jsigr/attacks';
import type { NdArray } from '@jsigr/engine';
import * as z from 'zod';
import type { PrepareContext } from './objective.ts';
import type { Rule } from './settings.ts';

/** The ball that adversarial training attacks in. */
export interface Ball {
  readonly epsilon: number;
  readonly norm: 'linf' | 'l2';
  readonly epsilonWarmupEpochs: number;
}

export const ballSettings = {
  epsilon: z
    .number()
    .min(0)
    .max(1000)
    .default(0.1)
    .describe('radius of the ball, in units of the images (0..1 for linf); usual: 0.3 for MNIST, 8/255 for CIFAR-10'),
  norm: z.enum(['linf', 'l2']).default('linf').describe('the ball: linf or l2'),
  epsilonWarmupEpochs: z
    .number()
    .min(0)
    .max(10_000)
    .default(0)
    .describe(
      'epochs (fractions allowed) over which the radius grows linearly from 0, 0..10000: large balls may keep a fresh network from learning anything',
    ),
};

export const attackSettings = {
  ...ballSettings,
  steps: z.int().min(1).max(100).default(7).describe('attack steps on every batch, 1..100'),
  stepSize: z
    .number()
    .positive()
    .max(1000)
    .optional()
    .describe('length of a step, in units of the images; 2.5 epsilon / steps if not given'),
};

export const ballRule: Rule<Ball> = {
  field: 'epsilon',
  message: 'must be at most 1 for linf',
  holds: ({ norm, epsilon }) => norm !== 'linf' || epsilon <= linf.diameter(1),
};

/** Part of the radius (and of the steps) after so many epochs, 0..1. */
export function warmth({ epsilonWarmupEpochs }: Ball, epochs: number): number {
  return epochs >= epsilonWarmupEpochs ? 1 : epochs / epsilonWarmupEpochs;
}

export function ballNorm({ norm }: Ball): Norm {
  return normNamed(norm, 'objective.settings.norm');
}

/** How examples are made: PGD's settings, of which FGSM is the one with a single step. */
export interface InnerAttack extends Ball {
  readonly steps: number;
  readonly stepSize?: number | undefined;
  readonly randomStart: boolean;
}

/**
 * Adversarial examples of a batch, by PGD on the cross-entropy of `source` (the network in training if not given), in the ball as it is at
 * this epoch. All steps are made, also on samples that are misclassified already.
 */
export async function adversarialExamples(
  { steps, stepSize, randomStart, ...ball }: InnerAttack,
  context: PrepareContext,
  source = context.classifier,
): Promise<NdArray> {
  const { engine, images, labels, seed, step, sampleIndices, signal, epochs } = context;
  const part = warmth(ball, epochs);
  if (part === 0) return images;
  const settings = { steps, randomStart, restarts: 1, loss: 'ce', keep: 'last' };
  const { adversarial } = await pgd.run(
    {
      engine,
      source,
      images,
      labels,
      norm: ballNorm(ball),
      epsilons: sampleIndices.map(() => ball.epsilon * part),
      seed,
      attempts: sampleIndices.map(() => step),
      sampleIndices,
      ...(signal ? { signal } : {}),
    },
    stepSize === undefined ? settings : { ...settings, stepSize: stepSize * part },
  );
  return adversarial;
}
