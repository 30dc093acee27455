import { describe, expect, it } from 'vitest';
import { planTraining, type TrainingConfig } from './config.ts';
import { type NetworkDescription, problemsOf, type Undertaking } from './requirements.ts';

const model = {
  architecture: 'lenet',
  activation: 'relu',
  norm: 'none',
  denoise: false,
  input: [28, 28, 1],
  classes: 10,
} as const;
const network = (change: Partial<NetworkDescription> = {}): NetworkDescription => ({
  id: 'models/1',
  ...model,
  ...change,
});
const tuned = (config: TrainingConfig, fraction = 0.05, of = 'abc'): Parameters<typeof problems> => [
  config,
  { dataset: 'abc', initial: network({ heldOut: { dataset: of, seed: 3, fraction } }) },
];
const selective = (settings: Record<string, string | number>): TrainingConfig => ({
  objective: { name: 'selective', settings },
});
const adversarial = (epsilonWarmupEpochs: number): TrainingConfig => ({
  objective: { name: 'pgd-at', settings: { epsilonWarmupEpochs } },
});
const teacher = selective({ saliencySource: 'teacher' });
const ensemble: TrainingConfig = { objective: { name: 'ensemble-at' } };

const problems = (config: TrainingConfig, networks: Partial<Undertaking> = {}) =>
  problemsOf({ plan: planTraining(config), model, surrogates: [], ...networks }).map(
    ({ field, message }) => `${field}: ${message}`,
  );

describe('what fits together', () => {
  it.each<{ what: string; config: TrainingConfig; networks?: Partial<Undertaking> }>([
    { what: 'the defaults', config: {} },
    { what: 'a teacher of the same kind', config: teacher, networks: { teacher: network() } },
    {
      what: 'surrogates of another architecture and activation',
      config: ensemble,
      networks: { surrogates: [network({ architecture: 'mlp', activation: 'tanh' })] },
    },
    { what: 'the default warm-up in a single epoch', config: { epochs: 1 } },
    { what: 'the default warm-up in half an epoch', config: { steps: 5 }, networks: { stepsInEpochs: 0.5 } },
    { what: 'maps that come with the last epoch', config: { ...selective({ maskWarmupEpochs: 2 }), epochs: 3 } },
    {
      what: 'a penalty in half of the last epoch',
      config: { ...selective({ rampStartEpoch: 2.5, rampEndEpoch: 3 }), epochs: 3 },
    },
    { what: 'the whole radius in the last epoch', config: { ...adversarial(2), epochs: 3 } },
    { what: 'steps of data that are not known', config: { ...adversarial(3), steps: 100 } },
    { what: 'weights to begin with', config: {}, networks: { initial: network() } },
  ])('has no problem: $what', ({ config, networks }) => {
    expect(problems(config, networks)).toEqual([]);
  });

  it.each<{ config: TrainingConfig; networks?: Partial<Undertaking>; expected: string[] }>([
    { config: teacher, expected: ['teacher: is missing: selective takes its saliency from a teacher'] },
    {
      config: {},
      networks: { teacher: network() },
      expected: ['teacher: models/1 given, but nothing uses it: set saliencySource=teacher'],
    },
    {
      config: teacher,
      networks: { teacher: network({ architecture: 'mlp', classes: 3 }) },
      expected: [
        'teacher: models/1 is a mlp, a lenet is trained',
        'teacher: models/1 tells 3 classes apart, the dataset has 10',
      ],
    },
    {
      config: {},
      networks: { initial: network({ input: [32, 32, 3], activation: 'tanh' }) },
      expected: [
        'initial: models/1 has the activation tanh, relu is trained',
        "initial: models/1 takes images of [32, 32, 3], the dataset's are [28, 28, 1]",
      ],
    },
    {
      config: teacher,
      networks: { teacher: network({ norm: 'batch', denoise: true }) },
      expected: [
        'teacher: models/1 has the norm batch, none is trained',
        'teacher: models/1 has denoising blocks, what is trained has none',
      ],
    },
    { config: ensemble, expected: ['surrogates: are missing: ensemble-at trains on their adversarial examples'] },
    {
      config: {},
      networks: { surrogates: [network()] },
      expected: ['surrogates: 1 given, but jsigr uses none: ensemble-at does'],
    },
    {
      config: ensemble,
      networks: { surrogates: [network(), network({ classes: 2 })] },
      expected: ['surrogates[1]: models/1 tells 2 classes apart, the dataset has 10'],
    },
    {
      config: { ...selective({ maskWarmupEpochs: 4 }), epochs: 3 },
      expected: [
        'objective.settings.maskWarmupEpochs: 4 given, but training ends after 3 epochs: there would never be saliency',
      ],
    },
    {
      // With its default too: without maps it is another objective. J-SIGR has its Jacobian norm.
      config: { ...selective({}), epochs: 1 },
      expected: [
        'objective.settings.maskWarmupEpochs: 1 by default, but training ends after 1 epoch: there would never be saliency',
      ],
    },
    { config: { objective: { name: 'jsigr' }, epochs: 1 }, expected: [] },
    {
      config: { objective: { name: 'jsigr', settings: { jacobianWeight: 0 } }, epochs: 1 },
      expected: [
        'objective.settings.maskWarmupEpochs: 1 by default, but training ends after 1 epoch: there would never be saliency',
      ],
    },
    {
      config: { ...selective({ maskWarmupEpochs: 3 }), epochs: 3 },
      expected: [
        'objective.settings.maskWarmupEpochs: 3 given, but training ends after 3 epochs: there would never be saliency',
      ],
    },
    {
      config: { ...selective({ maskWarmupEpochs: 2, rampStartEpoch: 3, rampEndEpoch: 3 }), steps: 150 },
      networks: { stepsInEpochs: 1.5 },
      expected: [
        'objective.settings.maskWarmupEpochs: 2 given, but training ends after 1.5 epochs: there would never be saliency',
        'objective.settings.rampStartEpoch: 3 given, but training ends after 1.5 epochs: there would never be a penalty',
      ],
    },
    {
      config: { ...adversarial(2.5), epochs: 3 },
      expected: [
        'objective.settings.epsilonWarmupEpochs: 2.5 given, but training ends after 3 epochs: the last must have the whole radius; at most 2 allowed',
      ],
    },
    {
      config: { ...adversarial(0.5), epochs: 1 },
      expected: [
        'objective.settings.epsilonWarmupEpochs: 0.5 given, but training ends after 1 epoch: the last must have the whole radius; at most 0 allowed',
      ],
    },
    {
      config: { techniques: { classWeights: '1,2' } },
      expected: ['techniques.classWeights: 2 numbers given, the dataset has 10 classes'],
    },
    {
      config: { techniques: { earlyStoppingPatience: 2 }, heldOutFraction: 0 },
      expected: ['techniques.earlyStoppingPatience: needs held-out images: heldOutFraction is 0'],
    },
    {
      config: { batchSize: 1, objective: { name: 'jsigr', settings: { estimator: 'finite-difference' } } },
      expected: ['batchSize: 1 given, jsigr needs 2'],
    },
    {
      config: { augmentation: { cutout: 28 } },
      expected: ['augmentation.cutout: 28 given, images have sides of 28'],
    },
  ])('is told: $expected', ({ config, networks, expected }) => {
    expect(problems(config, networks)).toEqual(expected);
  });

  it('does not begin with weights that were trained on what is to be held out', () => {
    expect(problems(...tuned({ seed: 3 }))).toEqual([]);
    expect(problems(...tuned({ seed: 4 }))).toEqual([
      'initial: models/1 was trained on images that seed 4 holds out: use seed 3',
    ]);
    // of the same seed a smaller part is within the larger one
    expect(problems(...tuned({ seed: 3, heldOutFraction: 0.02 }))).toEqual([]);
    expect(problems(...tuned({ seed: 3, heldOutFraction: 0.1 }))).toEqual([
      'initial: models/1 was trained on images that heldOutFraction 0.1 holds out: at most 0.05 allowed',
    ]);
    expect(problems(...tuned({ seed: 3 }, 0))).toEqual([
      'initial: models/1 was trained on images that heldOutFraction 0.05 holds out: at most 0 allowed',
    ]);
    expect(problems(...tuned({ seed: 4, heldOutFraction: 0 }))).toEqual([]);
    expect(problems(...tuned({ seed: 4 }, 0.05, 'another dataset'))).toEqual([]);
  });
});
