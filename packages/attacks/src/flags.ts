import { type Classifier, isQueried } from '@jsigr/models';
import type { CellResult } from './cells.ts';
import type { DeadGradients } from './dead-gradients.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import { LEAST_MASKING_SAMPLES } from './masking.ts';
import { type PlannedAttack, targetOf } from './plan.ts';
import { isRandom } from './randomised.ts';

/** What a reader of the figures must know. */
export interface Flag {
  readonly name:
    | 'black-box'
    | 'probabilities'
    | 'few-classes'
    | 'target-is-label'
    | 'randomised'
    | 'zero-gradients'
    | 'budget'
    | 'black-box-wins'
    | 'masking-not-assessed';
  /** In plain words. */
  readonly message: string;
}

/** What an evaluation saw besides its results. */
export interface Sights {
  /** Labels of the samples that are correctly classified. */
  readonly labels: readonly number[];
  /** Of a model that gives probabilities: the share of its outputs that are flat. */
  readonly flatShare: number | undefined;
  readonly gradients: DeadGradients | undefined;
  /** Was a look at masking asked for that could not be made? */
  readonly lacksMasking: boolean;
}

/** Share of all samples by which queries may beat gradients before it is said (AutoAttack warns from 0.2 points on). */
const BLACK_BOX_LEAD = 0.002;

/** Share of samples at which attacks are blind up to which nothing is said. */
const BLIND_SHARE = 0.01;

/** The flags of an evaluation, those of AutoAttack among them (Croce and Hein's code warns of the same). */
export function flagsOf(
  { target, indices, cascade = false, loss }: EvaluationOptions,
  plan: readonly PlannedAttack[],
  sights: Sights,
  results: readonly CellResult[],
): Flag[] {
  const needed = Math.max(...plan.map((planned) => classesNeeded(planned, loss !== undefined)));
  const onTarget = labelledAsTarget(plan, sights.labels);
  const flags: Readonly<Record<Flag['name'], string | false>> = {
    probabilities: probabilities(sights.flatShare),
    'masking-not-assessed':
      sights.lacksMasking &&
      `masked gradients were not looked for: that takes ${LEAST_MASKING_SAMPLES} correctly classified samples and a radius above 0`,
    'black-box':
      isQueried(target) &&
      `the model was attacked as a black box, by queries, transferred examples and noise alone: ${target.blackBox}`,
    'few-classes':
      target.classes < needed &&
      'the model has too few classes for the DLR loss (3, or 4 if targeted): the margin was raised instead',
    'target-is-label':
      onTarget > 0 &&
      `${onTarget} samples are of the very class that an attack steers towards: it holds them there, and unless chance turns them they count as robust`,
    randomised:
      isRandom(target) && 'the model draws random numbers: the figures hold for one draw; attack it with eot above 1',
    'zero-gradients': zeroGradients(sights.gradients),
    budget: budgetSpent(results, target),
    'black-box-wins':
      blackBoxLead(results, cascade) > BLACK_BOX_LEAD * indices.length &&
      'queries fooled samples that withstood every gradient attack: gradients may be masked',
  };
  return Object.entries(flags).flatMap(([name, message]) => (message ? [{ name: name as Flag['name'], message }] : []));
}

function probabilities(flatShare: number | undefined): string | false {
  if (flatShare === undefined) return false;
  const said = 'the model gives probabilities; their logarithms were attacked as logits';
  if (flatShare <= BLIND_SHARE) return said;
  const share = (100 * flatShare).toFixed(1);
  return `${said}; at ${share} % of the samples all but one are below 1e-30, and attacks are blind there: evaluate the model without its softmax`;
}

function zeroGradients(found: DeadGradients | undefined): string | false {
  if (!found || found.dead <= BLIND_SHARE * found.looks) return false;
  const share = ((100 * found.dead) / found.looks).toFixed(1);
  const loss = LOSS_WORDS[found.loss] ?? `the loss "${found.loss}"`;
  return `the gradient of ${loss} is zero or no number at ${share} % of the correctly classified samples: attacks that follow it are blind there`;
}

const LOSS_WORDS: Readonly<Record<string, string>> = { ce: 'the cross-entropy', margin: 'the margin' };

/** The most correctly classified samples whose label is the class that one of the attacks steers towards. */
function labelledAsTarget(plan: readonly PlannedAttack[], labels: readonly number[]): number {
  const counts = plan.map(({ settings }) => labels.filter((label) => label === targetOf(settings)).length);
  return Math.max(0, ...counts);
}

/** Attacks that are named where a budget did not do. */
const NAMED = 5;

function budgetSpent(results: readonly CellResult[], target: Classifier): string | false {
  const undone = results.filter(({ unattempted, cutShort }) => unattempted + cutShort > 0);
  if (undone.length === 0 && !wasShort(target)) return false;
  const named = undone.slice(0, NAMED).map(({ planned: { attack, norm }, epsilon, unattempted, cutShort }) => {
    const parts = [
      cutShort > 0 && `stopped early on ${cutShort} samples`,
      unattempted > 0 && `never began on ${unattempted}`,
    ];
    return `${attack.name} (${norm.name}, ${epsilon}) ${parts.filter(Boolean).join(' and ')}`;
  });
  const more = undone.length > NAMED ? ` and ${undone.length - NAMED} more` : '';
  const said = named.length > 0 ? `: ${named.join('; ')}${more}` : '';
  return `the budget was spent before the plan was done${said}. What was not attempted, or not to the end, counts as robust: robust accuracy is an upper bound of that under the whole plan`;
}

function wasShort(target: Classifier): boolean {
  return isQueried(target) && (target.budget?.wasShort() ?? false);
}

/** Classes that a planned attack's loss is made for. */
function classesNeeded({ attack, settings }: PlannedAttack, ownLoss: boolean): number {
  if (ownLoss) return 0;
  if (attack.name === 'apgd-t') return 4;
  if (settings.loss !== 'dlr') return 0;
  return targetOf(settings) === undefined ? 3 : 4;
}

/** The most samples that queries alone fooled, over the balls in which both were tried: in a cascade later attacks do not meet them any more. */
function blackBoxLead(results: readonly CellResult[], cascade: boolean): number {
  const leads = results
    .filter(({ planned: { attack } }) => attack.access === 'score' || attack.access === 'decision')
    .map((result) => {
      const met = cascade ? results.slice(0, results.indexOf(result)) : results;
      const gradients = met.filter(
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
