import { attackNamed, type Budget, type Certification, type PlanEntry } from '@jsigr/attacks';
import type { Certification as Asked, EvaluationPlan } from '@jsigr/proto';
import { invalidArgument, JsigrError, settingsFromText } from '@jsigr/service';
import type { CraftArgument, EvaluateArgument } from './methods.ts';

const MAX_EXAMPLES = 16;

/** The contract's plan as the attacks take it. @throws JsigrError INVALID_ARGUMENT for what does not fit the contract; the rest the attacks check. */
export function evaluateArgument(
  plan: EvaluationPlan | undefined,
  defaultPart: 'test' | 'held-out',
): Omit<EvaluateArgument, 'model' | 'dataset' | 'surrogates'> {
  if (!plan) throw invalidArgument('plan', 'is missing');
  const part = plan.part || defaultPart;
  if (part !== 'test' && part !== 'held-out')
    throw invalidArgument('plan.part', `${part} given; test or held-out allowed`);
  plan.attacks.forEach(({ keepExamples }, i) => {
    if (keepExamples > MAX_EXAMPLES)
      throw invalidArgument(`plan.attacks[${i}].keepExamples`, `${keepExamples} given, 0 to ${MAX_EXAMPLES} allowed`);
  });
  return {
    part,
    samples: plan.samples,
    seed: plan.seed,
    cascade: plan.cascade,
    assessMasking: plan.assessMasking,
    keepExamples: plan.attacks.map(({ keepExamples }) => keepExamples),
    keepAdversarial: plan.keepAdversarial,
    maxQueries: plan.maxQueries,
    budget: budgetOf(plan),
    smallestEpsilons: plan.smallestEpsilons,
    ...(plan.certification && { certification: certificationOf(plan.certification) }),
    // Names are checked where the registries are: by the attacks, in the thread.
    plan: plan.attacks.map(({ attack, norm, epsilons, settings }): PlanEntry => {
      return { attack, norm: (norm || 'linf') as PlanEntry['norm'], epsilons, settings: settingsFromText(settings) };
    }),
  };
}

/** 0 means no limit; anything else that is none the attacks refuse. */
function budgetOf({ maxForwards, maxBackwards, maxSeconds }: EvaluationPlan): Budget {
  return {
    ...(maxForwards !== 0 && { forwards: maxForwards }),
    ...(maxBackwards !== 0 && { backwards: maxBackwards }),
    ...(maxSeconds !== 0 && { seconds: maxSeconds }),
  };
}

/** Samples that are certified unless told. */
const CERTIFIED = 100;

function certificationOf({ sigma, samples, draws, alpha }: Asked): Certification {
  return {
    sigma,
    samples: samples || CERTIFIED,
    ...(draws !== 0 && { estimation: draws }),
    ...(alpha !== 0 && { alpha }),
  };
}

const MAX_TRAINING_EXAMPLES = 4096;

/** What is crafted of training images beside each checkpoint. @throws JsigrError INVALID_ARGUMENT if the plan has no attack that can. */
export function augmentingAttack(
  { plan, dataset, surrogates, seed }: Pick<EvaluateArgument, 'plan' | 'dataset' | 'surrogates' | 'seed'>,
  count: number,
): Omit<CraftArgument, 'model' | 'turn'> {
  if (count > MAX_TRAINING_EXAMPLES)
    throw invalidArgument('trainingExamples', `${count} given, at most ${MAX_TRAINING_EXAMPLES} allowed`);
  const attack = plan.find((entry) => attackNamed(entry.attack).access === 'transfer');
  if (!attack || surrogates.length === 0)
    throw invalidArgument('trainingExamples', 'needs a transfer attack in the plan, and surrogates');
  return { attack, dataset, surrogates, seed, count };
}

/** What the attacks say of their plan (`plan[1].epsilons[0]`), said of the contract's (`plan.attacks[1].epsilons[0]`): in the field and in the words. */
export function inTermsOfPlan(error: unknown): JsigrError {
  const ours = JsigrError.from(error);
  if (ours.violations.length === 0) return ours;
  // Messages of the attacks begin with the field.
  const reworded = (text: string) =>
    ours.violations.reduce(
      (words, { field }) => (words.startsWith(`${field}: `) ? inContract(field) + words.slice(field.length) : words),
      text,
    );
  const violations = ours.violations.map(({ field, description }) => ({
    field: inContract(field),
    description: reworded(description),
  }));
  const { code, reason, hint } = ours;
  const message = reworded(ours.message);
  return new JsigrError({ code, reason, message, violations, ...(hint ? { hint } : {}), cause: error });
}

function inContract(field: string): string {
  return field
    .replace(/^plan(?=\[|$)/, 'plan.attacks')
    .replace(/^surrogates/, 'surrogateDigests')
    .replace(/^(maxQueries|assessMasking|smallestEpsilons)$/, 'plan.$1')
    .replace(/^certification\./, 'plan.certification.')
    .replace(/\.estimation$/, '.draws')
    .replace(/^classifier$/, 'plan.certification')
    .replace(/^budget\.(.)/, (_, first) => `plan.max${first.toUpperCase()}`)
    .replace(/^resume$/, 'plan.resumeLedger');
}
