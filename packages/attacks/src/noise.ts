import { normal } from '@jsigr/engine';
import { z } from 'zod';
import { type AttackContext, defineAttack, type Outcome } from './attack.ts';
import { randomStart, sizeOfImage, startAt } from './compiled.ts';
import { type View, walk } from './rows.ts';
import { countSetting } from './settings.ts';

const settings = z.strictObject({ restarts: countSetting(1000, 1, 'Draws tried on a sample that resists') });

/** Uniform noise in the ball: what a perturbation of this size does without any knowledge of the model. */
export const noise = defineAttack({
  name: 'noise',
  summary: 'Uniform random noise in the ball: the control that every attack must beat',
  access: 'control',
  norms: ['linf', 'l2', 'l1'],
  settings,
  attempts: ({ restarts }) => restarts,
  cost: () => ({ forwards: 0, backwards: 0 }),
  run: (context) => drawn(context, (view) => randomStart(context, view, 'noise.draw')),
});

/** Gaussian noise as long as the ball allows: scaled to the surface for l2 and l1, with standard deviation epsilon / 2 and clipped for linf. */
export const gaussianNoise = defineAttack({
  name: 'gaussian-noise',
  summary: 'Gaussian noise, brought into the ball: the second control',
  access: 'control',
  norms: ['linf', 'l2', 'l1'],
  settings,
  attempts: ({ restarts }) => restarts,
  cost: () => ({ forwards: 0, backwards: 0 }),
  run: (context) =>
    drawn(context, (view) => {
      const size = sizeOfImage(view);
      return startAt(context, view, 'gaussian-noise.draw', (place) => {
        const address = {
          seed: context.seed,
          stream: 'gaussian-noise.draw',
          step: view.attempts[place] ?? 0,
          sample: view.sampleIndices[place] ?? 0,
        };
        const numbers = normal(address, size);
        const scale = context.norm.name === 'linf' ? 0.5 : 1 / context.norm.lengthOf(numbers);
        return numbers.map((value) => value * scale);
      });
    }),
});

function drawn(context: AttackContext, draw: (view: View) => ReturnType<typeof randomStart>): Promise<Outcome> {
  return walk(context, {
    steps: 0,
    stepCost: { forwards: 0, backwards: 0 },
    start: async (view) => ({ state: { points: await draw(view) } }),
    advance: async (_, state) => ({ state }),
  });
}
