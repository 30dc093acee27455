import type { AttackPlan, Certification, EvaluationPlan } from '@jsigr/proto';

export interface ReportOrigin {
  /** models/{digest} */
  readonly model: string;
  /** datasets/{id} */
  readonly dataset: string;
  readonly plan: EvaluationPlan;
  /** Surrogates that were used, models/{digest}. */
  readonly surrogates: readonly string[];
}

export interface MatrixOrigin extends Pick<ReportOrigin, 'dataset' | 'plan'> {
  /** models/{digest} */
  readonly models: readonly string[];
}

/** The command that makes a report again. */
export function reportCommand({ model, dataset, plan, surrogates }: ReportOrigin): string {
  return [
    'jsigr evaluate',
    model,
    `--dataset ${dataset}`,
    `--part ${plan.part}`,
    ...plan.attacks.map((attack) => `--attack ${attackText(attack)}`),
    ...(plan.cascade ? ['--cascade'] : []),
    ...(plan.assessMasking ? ['--assess-masking'] : []),
    ...surrogates.map((name) => `--surrogate ${name}`),
    ...(plan.maxQueries > 0 ? [`--max-queries ${plan.maxQueries}`] : []),
    ...(plan.maxForwards > 0 ? [`--max-forwards ${plan.maxForwards}`] : []),
    ...(plan.maxBackwards > 0 ? [`--max-backwards ${plan.maxBackwards}`] : []),
    ...(plan.maxSeconds > 0 ? [`--max-seconds ${plan.maxSeconds}`] : []),
    ...(plan.smallestEpsilons > 0 ? [`--smallest-epsilons ${plan.smallestEpsilons}`] : []),
    ...(plan.certification ? [`--certify ${certificationText(plan.certification)}`] : []),
    `--samples ${plan.samples}`,
    `--seed ${plan.seed}`,
  ].join(' ');
}

function certificationText({ sigma, ...others }: Certification): string {
  const pairs = Object.entries(others).filter(([, value]) => value !== 0);
  return [sigma, ...(pairs.length > 0 ? [pairs.map(([name, value]) => `${name}=${value}`).join(',')] : [])].join(':');
}

/** The command that makes a transfer matrix again. */
export function matrixCommand({ models, dataset, plan }: MatrixOrigin): string {
  return [
    'jsigr transfer-matrix',
    ...models,
    `--dataset ${dataset}`,
    ...plan.attacks.map((attack) => `--attack ${attackText(attack)}`),
    `--samples ${plan.samples}`,
    `--seed ${plan.seed}`,
  ].join(' ');
}

function attackText({ attack, norm, epsilons, settings }: AttackPlan): string {
  const pairs = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  return [`${attack}@${norm}`, epsilons.join(','), ...(pairs.length > 0 ? [pairs.join(',')] : [])].join(':');
}
