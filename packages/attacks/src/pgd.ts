import { z } from 'zod';
import { type AttackContext, defineAttack, type Outcome } from './attack.ts';
import { checkTarget } from './check-context.ts';
import { classes, glance, looksAt, moved, randomStart, warmed } from './compiled.ts';
import { type LossName, losses, targetedLosses } from './losses.ts';
import { walk } from './rows.ts';
import { countSetting, eotSetting, lossSetting, targetSetting } from './settings.ts';

const settings = z.strictObject({
  steps: countSetting(1000, 20, 'Gradient steps of each restart'),
  stepSize: z
    .number()
    .positive()
    .optional()
    .describe('Length of a step in the norm, in units of the images; 2.5 epsilon / steps if not given'),
  restarts: countSetting(100, 1, 'Random starts tried on a sample that resists'),
  loss: lossSetting,
  target: targetSetting,
  eot: eotSetting,
  randomStart: z.boolean().default(true).describe('Start at a random point of the ball instead of the image'),
  keep: z
    .enum(['first-success', 'last'])
    .default('first-success')
    .describe('first-success: a sample stays where it is first misclassified; last: all steps are made'),
});

/** Projected gradient descent, Madry et al., arXiv 1706.06083: signed steps for linf, normalised ones for l2, sparse ones for l1. */
export const pgd = defineAttack({
  name: 'pgd',
  summary: 'Projected gradient ascent on the loss, from random starts (Madry et al. 2018)',
  access: 'white-box',
  norms: ['linf', 'l2', 'l1'],
  targeted: true,
  settings,
  attempts: ({ restarts }) => restarts,
  cost: ({ steps }) => ({ forwards: steps, backwards: steps }),
  run: (context, { stepSize, ...rest }) =>
    climb(context, { ...rest, stepSizeOf: (epsilon) => stepSize ?? (2.5 * epsilon) / rest.steps }),
});

export interface ClimbSettings {
  readonly steps: number;
  readonly stepSizeOf: (epsilon: number) => number;
  readonly loss: LossName;
  readonly target?: number | undefined;
  readonly eot?: number;
  readonly randomStart?: boolean;
  readonly keep: 'first-success' | 'last';
}

/** Steps along the gradient of a loss. */
export function climb(context: AttackContext, settings: ClimbSettings): Promise<Outcome> {
  const { steps, stepSizeOf, target, eot = 1, keep } = settings;
  checkTarget(target, context.source.classes);
  const loss = context.loss ?? (target === undefined ? losses : targetedLosses)[settings.loss];
  const looks = looksAt(context.source, eot);
  return walk(context, {
    steps,
    stepCost: { forwards: looks, backwards: looks },
    start: async (view) => {
      const begin = settings.randomStart ? await randomStart(context, view, 'pgd.start') : view.images;
      return { state: { points: await warmed(context, view, begin) } };
    },
    advance: async (view, { points }, step) => {
      const aim = target === undefined ? {} : { targets: classes(view.epsilons.map(() => target)) };
      const { gradient, wrong } = await glance(context, view, points, { loss, step, averaged: eot, ...aim });
      const state = { points: await moved(context, view, points, gradient, view.epsilons.map(stepSizeOf)) };
      return keep === 'last' ? { state } : { state, fallen: wrong.data, judged: points };
    },
  });
}
