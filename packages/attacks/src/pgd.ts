import { type NdArray, scalar } from '@jsigr/engine';
import { z } from 'zod';
import { type AttackContext, defineAttack } from './attack.ts';
import { fixedInputs, randomStart, runCompiled } from './compiled.ts';
import { type LossName, losses } from './losses.ts';
import { gradientStepOf } from './step.ts';

const settings = z.strictObject({
  steps: z.number().int().min(1).max(1000).default(20).describe('Gradient steps of each restart, 1..1000'),
  stepSize: z
    .number()
    .positive()
    .optional()
    .describe('Length of a step in the norm, in units of the images; 2.5 epsilon / steps if not given'),
  restarts: z
    .number()
    .int()
    .min(1)
    .max(100)
    .default(1)
    .describe('Random starts tried on a sample that resists, 1..100'),
  loss: z
    .enum(['ce', 'margin'])
    .default('ce')
    .describe('What is raised: cross-entropy, or best other logit minus the label’s'),
  randomStart: z.boolean().default(true).describe('Start at a random point of the ball instead of the image'),
  keep: z
    .enum(['first-success', 'last'])
    .default('first-success')
    .describe('first-success: a sample stays where it is first misclassified; last: all steps are made'),
});

/** Projected gradient descent, Madry et al., arXiv 1706.06083: signed steps for linf, normalised ones for l2. */
export const pgd = defineAttack({
  name: 'pgd',
  summary: 'Projected gradient ascent on the loss, from random starts (Madry et al. 2018)',
  access: 'white-box',
  norms: ['linf', 'l2'],
  settings,
  restarts: ({ restarts }) => restarts,
  cost: ({ steps }) => ({ forwards: steps, backwards: steps }),
  run: async (context, { steps, stepSize, loss, randomStart: random, keep }) => {
    const start = random ? await randomStart(context, 'pgd.start') : context.images;
    return climb(context, start, { steps, stepSize: stepSize ?? (2.5 * context.epsilon) / steps, loss, keep });
  },
});

export interface ClimbSettings {
  readonly steps: number;
  readonly stepSize: number;
  readonly loss: LossName;
  readonly keep: 'first-success' | 'last';
}

/** The steps of PGD from a given start. */
export async function climb(context: AttackContext, start: NdArray, settings: ClimbSettings): Promise<NdArray> {
  const { engine, source, norm, signal, onStep } = context;
  const loss = losses[settings.loss];
  const inputs = {
    ...fixedInputs(context),
    stepSize: scalar(settings.stepSize),
    hold: scalar(settings.keep === 'first-success' ? 1 : 0),
  };
  const step = gradientStepOf(source.forward, norm, loss);
  const name = `gradient-step/${loss.name}/${norm.name}`;
  let adversarial = start;
  onStep?.(adversarial, 0);
  for (let done = 1; done <= settings.steps; done++) {
    signal?.throwIfAborted();
    ({ adversarial } = await runCompiled(engine, name, step, { ...inputs, adversarial }));
    onStep?.(adversarial, done);
  }
  return adversarial;
}
