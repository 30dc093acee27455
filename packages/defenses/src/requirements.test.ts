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
const selective = (settings: Record<string, string | number>): TrainingConfig => ({
  objective: { name: 'selective', settings },
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
});
