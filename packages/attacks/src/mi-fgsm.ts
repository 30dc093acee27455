import { scalar, zeros } from '@jsigr/engine';
import { z } from 'zod';
import { defineAttack } from './attack.ts';
import { fixedInputs, runCompiled } from './compiled.ts';
import { losses } from './losses.ts';
import { momentumStepOf } from './step.ts';

/** MI-FGSM, Dong et al., arXiv 1710.06081: gradient steps with momentum, of length epsilon / steps; no random start, and all steps are made. */
export const miFgsm = defineAttack({
  name: 'mi-fgsm',
  summary: 'Gradient steps with momentum on the surrogates’ mean logits, for transfer (Dong et al. 2018)',
  access: 'transfer',
  norms: ['linf', 'l2'],
  settings: z.strictObject({
    steps: z
      .number()
      .int()
      .min(1)
      .max(1000)
      .default(10)
      .describe('Gradient steps, 1..1000; each is epsilon / steps long'),
    decay: z.number().min(0).max(2).default(1).describe('Weight of the gradients before (mu), 0..2'),
    loss: z
      .enum(['ce', 'margin'])
      .default('ce')
      .describe('What is raised: cross-entropy, or best other logit minus the label’s'),
  }),
  cost: ({ steps }) => ({ forwards: steps, backwards: steps }),
  run: async (context, { steps, decay, loss }) => {
    const { engine, source, images, norm, epsilon, signal, onStep } = context;
    const inputs = {
      ...fixedInputs(context),
      stepSize: scalar(epsilon / steps),
      hold: scalar(0), // what fools the surrogates may not fool the target yet
      decay: scalar(decay),
    };
    const step = momentumStepOf(source.forward, norm, losses[loss]);
    const name = `momentum-step/${loss}/${norm.name}`;
    let state = { adversarial: images, momentum: zeros(images.shape) };
    onStep?.(images, 0);
    for (let done = 1; done <= steps; done++) {
      signal?.throwIfAborted();
      state = await runCompiled(engine, name, step, { ...inputs, ...state });
      onStep?.(state.adversarial, done);
    }
    return state.adversarial;
  },
});
