import { EvaluationPlan, type EvaluationSpec, ExplainRequest, Feedback, TrainingSpec } from '@jsigr/proto';
import { SMALL } from './small-dataset.ts';

const common = { dataset: SMALL, architecture: 'smallcnn', epochs: 5 };
const attacks = [{ attack: 'pgd', epsilons: [0.1], settings: { steps: '3' } }];
const loopPlan = { attacks, samples: 32, part: 'held-out' };

/** What clients ask for again and again, each with what a state could forget. The model, of an undisturbed `plain`, is surrogate where one is needed. */
export const trainings: Readonly<Record<string, (model: string) => TrainingSpec>> = {
  plain: () =>
    TrainingSpec.fromPartial({
      ...common,
      objective: 'standard',
      seed: 1,
      optimizer: { name: 'sgd', momentum: 0.9 },
    }),
  jsigr: () =>
    TrainingSpec.fromPartial({
      ...common,
      objective: 'jsigr',
      objectiveSettings: { maskWarmupEpochs: '1', rampEndEpoch: '2' },
      optimizer: { schedule: 'cosine' },
      augmentation: { cropPadding: 1, noise: 0.05 },
      techniques: { averageDecay: '0.9' },
      seed: 2,
    }),
  loop: () =>
    TrainingSpec.fromPartial({
      ...common,
      objective: 'standard',
      seed: 3,
      loop: { enabled: true, plan: loopPlan },
    }),
  select: (model) =>
    TrainingSpec.fromPartial({
      ...common,
      objective: 'standard',
      seed: 4,
      loop: {
        enabled: true,
        feedback: Feedback.FEEDBACK_SELECT,
        plan: {
          ...loopPlan,
          attacks: [...attacks, { attack: 'mi-fgsm', epsilons: [0.1], settings: { steps: '3' } }],
          surrogates: [model],
        },
      },
    }),
};

/** Evaluations of a model, in several units of work: by one attacker, and by two that share the samples. */
export const evaluations: Readonly<Record<string, (model: string) => EvaluationSpec>> = {
  evaluation: (model) => evaluationOf(model, 1),
  sharded: (model) => evaluationOf(model, 2),
};

function evaluationOf(model: string, shards: number): EvaluationSpec {
  return {
    model,
    dataset: '',
    shards,
    models: [],
    plan: EvaluationPlan.fromPartial({
      attacks: [
        { attack: 'fgsm', epsilons: [0.05, 0.1] },
        { attack: 'pgd', epsilons: [0.05, 0.1], settings: { steps: '20', restarts: '2' } },
      ],
      samples: 200,
      part: 'test',
    }),
  };
}

export const recipes: readonly string[] = [...Object.keys(trainings), ...Object.keys(evaluations)];

/** Explanations that clients ask for: by a deterministic method, by one that draws random numbers, and with an overlay. */
export function explanationsOf(model: string): readonly ExplainRequest[] {
  const image = (index: number) =>
    ({ source: { $case: 'sample', value: { dataset: common.dataset, part: 'test', index } } }) as const;
  return [
    ExplainRequest.fromPartial({ model, image: image(0), method: 'gradient' }),
    ExplainRequest.fromPartial({ model, image: image(1), method: 'smoothgrad', seed: 7, settings: { samples: '8' } }),
    ExplainRequest.fromPartial({ model, image: image(2), method: 'integrated-gradients', overlay: true }),
  ];
}
