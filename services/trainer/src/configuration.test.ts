import { planTraining, TrainingError } from '@jsigr/defenses';
import { Feedback, TrainingSpec } from '@jsigr/proto';
import { expect, test } from 'vitest';
import { inTermsOfSpec, selectingAttacks, trainingConfig } from './configuration.ts';

const minimal = TrainingSpec.fromPartial({ architecture: 'mlp', objective: 'standard', epochs: 3, seed: 7 });

test("zeros and empty texts take the training loop's defaults", () => {
  expect(planTraining(trainingConfig(minimal)).config).toMatchObject({
    architecture: 'mlp',
    objective: { name: 'standard' },
    optimizer: { name: 'adam', settings: { learningRate: 0.001 } },
    schedule: { name: 'constant' },
    epochs: 3,
    batchSize: 64,
    seed: 7,
    checkpointEveryEpochs: 1,
    augmentation: { cropPadding: 0, flip: false },
  });
});

test('what is given is passed on', () => {
  const spec = TrainingSpec.fromPartial({
    ...minimal,
    architecture: 'resnet20',
    activation: 'gelu',
    norm: 'group',
    denoise: true,
    optimizer: { name: 'sgd', learningRate: 0.1, momentum: 0.5, weightDecay: 0.001, schedule: 'cosine' },
    batchSize: 32,
    checkpointEveryEpochs: 2,
    augmentation: { cropPadding: 2, flip: true },
  });
  expect(planTraining(trainingConfig(spec)).config).toMatchObject({
    architecture: 'resnet20',
    activation: 'gelu',
    norm: 'group',
    denoise: true,
    optimizer: { name: 'sgd', settings: { learningRate: 0.1, momentum: 0.5, weightDecay: 0.001 } },
    schedule: { name: 'cosine' },
    batchSize: 32,
    checkpointEveryEpochs: 2,
    augmentation: { cropPadding: 2, flip: true },
  });
});

test.each([
  ['objective.settings.jacobianWeight', 'spec.objectiveSettings.jacobianWeight'],
  ['objective.name', 'spec.objective'],
  ['optimizer.settings.learningRate', 'spec.optimizer.learningRate'],
  ['optimizer.name', 'spec.optimizer.name'],
  ['schedule.name', 'spec.optimizer.schedule'],
  ['augmentation.cropPadding', 'spec.augmentation.cropPadding'],
  ['epochs', 'spec.epochs'],
])('the field %s is called %s by the contract', (theirs, contract) => {
  expect(inTermsOfSpec(new TrainingError('INVALID_SETTING', theirs, 'wrong')).violations[0]?.field).toBe(contract);
});

test('a loop selects on held-out samples only', () => {
  const loop = (part: string, feedback: Feedback) =>
    TrainingSpec.fromPartial({ loop: { enabled: true, feedback, plan: { part, attacks: [{ attack: 'mi-fgsm' }] } } });
  expect(selectingAttacks(loop('', Feedback.FEEDBACK_SELECT))).toEqual(['mi-fgsm']);
  expect(selectingAttacks(loop('held-out', Feedback.FEEDBACK_SELECT))).toEqual(['mi-fgsm']);
  expect(selectingAttacks(loop('test', Feedback.FEEDBACK_NONE))).toBeUndefined();
  expect(() => selectingAttacks(loop('test', Feedback.FEEDBACK_SELECT))).toThrow('spec.loop.plan.part');
});
