import { planTraining } from '@jsigr/defenses';
import { expect, test } from 'vitest';
import { profile } from './testing.ts';
import { configOf, trainingKey } from './training.ts';

test('a training is known by the defaults of its objective too', () => {
  const context = { profile, digest: 'abc' };
  const spec = { id: 'r', label: 'r', architecture: 'mlp', objective: 'jsigr', noise: 0, epochs: 2, seed: 1 };
  const short = { ...spec, settings: { gradientWeight: 5 } };
  const { settings } = planTraining(configOf(context, short)).config.objective;
  expect(Object.keys(settings).length).toBeGreaterThan(1);
  const full = { ...spec, settings: settings as Record<string, number> };
  // Were a default another one, it would not be that of the short settings any more.
  expect(trainingKey(context, short)).toBe(trainingKey(context, full));
  expect(trainingKey(context, { ...spec, settings: { gradientWeight: 6 } })).not.toBe(trainingKey(context, full));
});
