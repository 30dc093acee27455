import { Feedback } from '@jsigr/proto';
import { describe, expect, it } from 'vitest';
import type { TrainingRunSpec } from './generated/resources.ts';
import { trainingSpec } from './spec.ts';

const resource: TrainingRunSpec = {
  dataset: 'datasets/glyphs',
  architecture: 'lenet',
  activation: 'relu',
  denoise: false,
  objective: { name: 'standard', settings: {} },
  epochs: 2,
  batchSize: 64,
  seed: 1,
  checkpointEveryEpochs: 1,
  optimizer: { name: 'adam', schedule: 'constant' },
  augmentation: { cropPadding: 0, flip: false, cutout: 0, noise: '0' },
  techniques: {},
  suspend: false,
  surrogates: [],
};
const loop = {
  ...{ samples: 200, seed: 0, profile: '', epsilons: [], surrogates: [], attacks: [] },
  ...{ cascade: false, assessMasking: false, keepAdversarial: 0 },
};

describe("a resource's loop", () => {
  it.each([
    ['none', {}, Feedback.FEEDBACK_NONE],
    ['select', {}, Feedback.FEEDBACK_SELECT],
    ['early-stop', { patience: 7 }, Feedback.FEEDBACK_EARLY_STOP],
    ['adapt', { cleanTolerance: '0.1' }, Feedback.FEEDBACK_ADAPT],
    ['augment', { trainingExamples: 9, exampleShare: '0.25' }, Feedback.FEEDBACK_AUGMENT],
  ] as const)('may have the feedback %s', (feedback, own, expected) => {
    const spec = trainingSpec({ ...resource, loop: { ...loop, feedback, ...own } });
    const numbers = Object.fromEntries(Object.entries(own).map(([name, value]) => [name, Number(value)]));
    const none = { patience: 0, cleanTolerance: 0, trainingExamples: 0, exampleShare: 0 };
    expect(spec.loop).toMatchObject({ enabled: true, feedback: expected, ...none, ...numbers });
  });

  it('is left out where nothing follows the run', () => {
    expect(trainingSpec(resource).loop).toBeUndefined();
  });
});
