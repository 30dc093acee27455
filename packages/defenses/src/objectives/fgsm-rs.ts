import * as z from 'zod';
import { adversarialExamples, ballRule, ballSettings, type InnerAttack } from './inner-attack.ts';
import { defineObjective, type PrepareContext, type PreparedBatch } from './objective.ts';
import { overfittingProbe, overfittingSettings } from './overfitting.ts';
import { withRules } from './settings.ts';
import { standard } from './standard.ts';

export const fgsmShape = {
  ...ballSettings,
  stepFactor: z
    .number()
    .positive()
    .max(2)
    .default(1.25)
    .describe('length of the one step, in radii, in (0, 2]; longer steps overfit catastrophically'),
  ...overfittingSettings,
};
const settings = withRules(fgsmShape, [ballRule]);
export type FgsmSettings = z.output<typeof settings>;

/** Wong, Rice and Kolter, "Fast is better than free: Revisiting adversarial training", arXiv 2001.03994. */
export const fgsmRandomStart = defineObjective({
  name: 'fgsm-rs',
  summary:
    'cross-entropy of examples of one FGSM step from a random start (Wong et al. 2020), watched for catastrophic overfitting',
  source: 'Wong, Rice and Kolter 2020, arXiv 2001.03994',
  settings,
  bind: (bound) => ({ ...standard.bind({}), ...fgsmParts(bound) }),
});

/** What FGSM with a random start adds to any loss: its examples, and the watch over them. */
export function fgsmParts(bound: FgsmSettings) {
  const attack: InnerAttack = {
    epsilon: bound.epsilon,
    norm: bound.norm,
    epsilonWarmupEpochs: bound.epsilonWarmupEpochs,
    steps: 1,
    stepSize: bound.stepFactor * bound.epsilon || undefined,
    randomStart: true,
  };
  const probe = overfittingProbe(bound, attack);
  return {
    prepare: async (context: PrepareContext): Promise<PreparedBatch> => ({
      images: await adversarialExamples(attack, context),
    }),
    ...(probe ? { probe } : {}),
  };
}
