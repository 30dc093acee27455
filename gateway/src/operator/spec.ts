import { AttackPlan, EvaluationPlan, EvaluationSpec, Feedback, LoopSpec, TrainingSpec } from '@jsigr/proto';
import type { Violation } from '@jsigr/service';
import type { RobustnessEvaluationSpec, TrainingRunSpec } from './generated/resources.ts';
import type { Kind } from './resource.ts';

/** The contract's spec of a resource's. */
export function trainingSpec(spec: TrainingRunSpec): TrainingSpec {
  const { objective, optimizer, augmentation, loop } = spec;
  return TrainingSpec.fromPartial({
    dataset: spec.dataset,
    architecture: spec.architecture,
    activation: spec.activation,
    norm: spec.norm ?? '',
    denoise: spec.denoise,
    objective: objective.name,
    objectiveSettings: texts(objective.settings),
    optimizer: {
      name: optimizer.name,
      learningRate: Number(optimizer.learningRate ?? 0),
      momentum: Number(optimizer.momentum ?? 0),
      weightDecay: Number(optimizer.weightDecay ?? 0),
      schedule: optimizer.schedule,
    },
    epochs: spec.epochs,
    batchSize: spec.batchSize,
    seed: spec.seed,
    checkpointEveryEpochs: spec.checkpointEveryEpochs,
    augmentation: { ...augmentation, noise: Number(augmentation.noise) },
    techniques: texts(spec.techniques),
    initialModel: spec.initialModel ?? '',
    teacher: spec.teacher ?? '',
    surrogates: [...spec.surrogates],
    ...(loop ? { loop: loopSpec(loop) } : {}),
  });
}

function loopSpec(loop: NonNullable<TrainingRunSpec['loop']>): LoopSpec {
  const { feedback, patience = 0, cleanTolerance = 0, trainingExamples = 0, exampleShare = 0 } = loop;
  return LoopSpec.fromPartial({
    enabled: true,
    feedback: feedbacks[feedback],
    plan: plan(loop),
    patience,
    cleanTolerance: Number(cleanTolerance),
    trainingExamples,
    exampleShare: Number(exampleShare),
  });
}

const feedbacks = {
  none: Feedback.FEEDBACK_NONE,
  select: Feedback.FEEDBACK_SELECT,
  'early-stop': Feedback.FEEDBACK_EARLY_STOP,
  adapt: Feedback.FEEDBACK_ADAPT,
  augment: Feedback.FEEDBACK_AUGMENT,
} as const;

/** @param model models/{digest}, which the resource names or which comes from its TrainingRun */
export function evaluationSpec(spec: RobustnessEvaluationSpec, model: string): EvaluationSpec {
  const { part, maxQueries = 0, resumeLedger = '', smallestEpsilons = 0, certification } = spec;
  const complete = {
    ...plan(spec),
    ...{ part, maxQueries, resumeLedger, smallestEpsilons },
    ...(certification && { certification: certificationOf(certification) }),
  };
  return EvaluationSpec.fromPartial({ model, dataset: spec.dataset ?? '', plan: complete, shards: spec.shards });
}

function certificationOf({ sigma, samples, draws, alpha }: NonNullable<RobustnessEvaluationSpec['certification']>) {
  return { sigma: Number(sigma), samples, draws, alpha: Number(alpha) };
}

/** What a loop's plan and an evaluation's have in common. */
type Plan = Omit<
  NonNullable<TrainingRunSpec['loop']>,
  'feedback' | 'patience' | 'cleanTolerance' | 'trainingExamples' | 'exampleShare'
>;

function plan(given: Plan): EvaluationPlan {
  const { attacks, epsilons, surrogates, profile, samples, seed, cascade, assessMasking, keepAdversarial } = given;
  const { maxForwards = 0, maxBackwards = 0, maxSeconds = 0 } = given;
  return EvaluationPlan.fromPartial({
    attacks: attacks.map(({ name, norm, epsilons, settings, keepExamples }) =>
      AttackPlan.fromPartial({
        attack: name,
        norm,
        epsilons: epsilons.map(radius),
        settings: texts(settings),
        keepExamples,
      }),
    ),
    ...{ profile, samples, seed, cascade, assessMasking, keepAdversarial },
    ...{ maxForwards, maxBackwards, maxSeconds: Number(maxSeconds) },
    epsilons: epsilons.map(radius),
    surrogates: [...surrogates],
  });
}

/** "8/255" or "0.03", whose form the CRD checked. */
function radius(text: string): number {
  const [over, under = '1'] = text.split('/');
  return Number(over) / Number(under);
}

function texts(settings: Readonly<Record<string, number | string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]));
}

/** Fields of the contract, as a resource calls them; the first prefix that fits counts. */
const fields: Readonly<Record<Kind, readonly (readonly [RegExp, string])[]>> = {
  TrainingRun: [
    [/^spec\.objectiveSettings/, 'spec.objective.settings'],
    [/^spec\.objective$/, 'spec.objective.name'],
    [/^spec\.loop\.plan\.(attacks\[\d+\])\.attack$/, 'spec.loop.$1.name'],
    [/^spec\.loop\.plan\./, 'spec.loop.'],
  ],
  RobustnessEvaluation: [
    [/^spec\.plan\.(attacks\[\d+\])\.attack$/, 'spec.$1.name'],
    [/^spec\.plan\./, 'spec.'],
  ],
};

/** What the gateway says about a spec, said about the resource's. */
export function inTermsOfResource(kind: Kind, violations: readonly Violation[]): string {
  return violations
    .map(({ field, description }) => {
      const [pattern, own] = fields[kind].find(([prefix]) => prefix.test(field)) ?? [/^$/, ''];
      return `${field.replace(pattern, own)}: ${description}`;
    })
    .join('; ');
}
