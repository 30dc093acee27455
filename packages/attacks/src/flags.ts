import { type Classifier, isQueried } from '@jsigr/models';
import type { CellResult } from './cells.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import { LEAST_MASKING_SAMPLES } from './masking.ts';
import type { PlannedAttack } from './plan.ts';
import { isRandom } from './randomised.ts';

/** What a reader of the figures must know. */
export interface Flag {
  readonly name:
    | 'black-box'
    | 'probabilities'
    | 'few-classes'
    | 'randomised'
    | 'budget'
    | 'black-box-wins'
    | 'masking-not-assessed';
  /** In plain words. */
  readonly message: string;
}

export type Finding = Flag['name'];

/** Share of all samples by which queries may beat gradients before it is said (AutoAttack warns from 0.2 points on). */
const BLACK_BOX_LEAD = 0.002;

const messages: Readonly<Record<Exclude<Finding, 'black-box'>, string>> = {
  probabilities: 'the model gives probabilities; their logarithms were attacked as logits',
  'few-classes': 'the model has too few classes for the DLR loss (3, or 4 if targeted): the margin was raised instead',
  randomised: 'the model draws random numbers: the figures hold for one draw; attack it with eot above 1',
  budget: 'the budget was spent before the plan was done: what was not attempted, or not to the end, counts as robust',
  'black-box-wins': 'queries fooled samples that withstood every gradient attack: gradients may be masked',
  'masking-not-assessed': `masked gradients were not looked for: fewer than ${LEAST_MASKING_SAMPLES} samples are correctly classified`,
};

/** The flags of an evaluation, those of AutoAttack among them (Croce and Hein's code warns of the same). */
export function flagsOf(
  { target, indices }: EvaluationOptions,
  plan: readonly PlannedAttack[],
  found: readonly Finding[],
  results: readonly CellResult[],
): Flag[] {
  const needed = Math.max(...plan.map(classesNeeded));
  const findings: Finding[] = [
    ...found,
    ...(isQueried(target) ? (['black-box'] as const) : []),
    ...(target.classes < needed ? (['few-classes'] as const) : []),
    ...(isRandom(target) ? (['randomised'] as const) : []),
    ...(results.some(({ unattempted }) => unattempted > 0) || wasShort(target) ? (['budget'] as const) : []),
    ...(blackBoxLead(results) > BLACK_BOX_LEAD * indices.length ? (['black-box-wins'] as const) : []),
  ];
  return findings.map((name) => ({ name, message: name === 'black-box' ? blackBox(target) : messages[name] }));
}

function blackBox(target: Classifier): string {
  const why = isQueried(target) ? target.blackBox : '';
  return `the model was attacked as a black box, by queries, transferred examples and noise alone: ${why}`;
}

function wasShort(target: Classifier): boolean {
  return isQueried(target) && (target.budget?.wasShort() ?? false);
}

/** Classes that a planned attack's loss is made for. */
function classesNeeded({ attack, settings }: PlannedAttack): number {
  if (attack.name === 'apgd-t') return 4;
  return settings.loss === 'dlr' ? 3 : 0;
}

/** The most samples that queries alone fooled, over the balls in which both were tried. */
function blackBoxLead(results: readonly CellResult[]): number {
  const leads = results
    .filter(({ planned: { attack } }) => attack.access === 'score' || attack.access === 'decision')
    .map((result) => {
      const gradients = results.filter(
        ({ planned, epsilon }) =>
          planned.attack.access === 'white-box' &&
          planned.norm === result.planned.norm &&
          planned.source === result.planned.source &&
          epsilon <= result.epsilon,
      );
      if (!gradients.some(({ epsilon }) => epsilon === result.epsilon)) return 0;
      const known = new Set(gradients.flatMap(({ fooled }) => [...fooled]));
      return [...result.fooled].filter((sample) => !known.has(sample)).length;
    });
  return Math.max(0, ...leads);
}
