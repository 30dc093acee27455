import { describe, expect, it } from 'vitest';
import { readSweep } from './sweep-file.ts';

const FILE = `
training: { dataset: glyphs, architecture: mlp, epochs: 2 }
matrix:
  objective: [standard, jsigr] # two runs
evaluation:
  attacks: ["pgd:0.1:steps=5", mi-fgsm:0.2]
  samples: 50
  maxBackwards: 20000
  maxSeconds: 1.5
`;

describe('the file of a sweep', () => {
  it('is runs and a plan, on held-out samples', () => {
    const { runs, plan } = readSweep(FILE);
    expect(runs.map(({ spec }) => spec.objective)).toEqual(['standard', 'jsigr']);
    expect(plan).toMatchObject({
      part: 'held-out',
      samples: 50,
      maxBackwards: 20_000,
      maxSeconds: 1.5,
      attacks: [
        { attack: 'pgd', epsilons: [0.1], settings: { steps: '5' } },
        { attack: 'mi-fgsm', epsilons: [0.2] },
      ],
    });
  });

  it('may be JSON, and without evaluation', () => {
    expect(readSweep('{"training": {"dataset": "glyphs"}}')).toMatchObject({ plan: undefined, runs: [{}] });
  });

  it.each([
    { text: 'training: [', field: 'file', message: /is not YAML/ },
    { text: '- 1', field: 'file', message: /must be a mapping of training, matrix, evaluation/ },
    {
      text: 'training: { optimizer: sgd }\nmatrix: { optimizer.momentum: [0, 0.9] }',
      field: 'training.optimizer',
      message: /must be a mapping of name, learningRate, .*, not "sgd"/,
    },
    {
      text: 'training: { augmentation: { flip: no } }',
      field: 'training.augmentation.flip',
      message: /^must be true or false, not "no"$/,
    },
    {
      text: 'training: { augmentation: { cutout: 1.5 } }',
      field: 'training.augmentation.cutout',
      message: /whole number/,
    },
    {
      text: 'training: { optimizer: { learningRate: fast } }',
      field: 'training.optimizer.learningRate',
      message: /^must be a number, not "fast"$/,
    },
    {
      text: 'training: { optimizer: { learningRate: .inf } }',
      field: 'training.optimizer.learningRate',
      message: /not Infinity$/,
    },
    {
      text: 'training: { epochs: 2.5 }',
      field: 'training.epochs',
      message: /whole number in 0\.\.4294967295, not 2\.5$/,
    },
    { text: 'training: { seed: -1 }', field: 'training.seed', message: /whole number in 0/ },
    { text: 'training: { epochs: }', field: 'training.epochs', message: /not null$/ },
    { text: 'training: { teacher: 01234567 }', field: 'training.teacher', message: /must be text \(in quotes/ },
    { text: 'training: { surrogates: models/1 }', field: 'training.surrogates', message: /must be a list/ },
    { text: 'training: { surrogates: [1] }', field: 'training.surrogates[0]', message: /must be text/ },
    {
      text: 'training: { objectiveSettings: [mask] }',
      field: 'training.objectiveSettings',
      message: /mapping of settings/,
    },
    { text: 'training: { constructor: 1 }', field: 'training.constructor', message: /is not known/ },
    { text: 'matrices: {}', field: 'file.matrices', message: /known: training, matrix, evaluation/ },
    { text: 'training: 1', field: 'training', message: /must be a mapping/ },
    { text: 'matrix: 1', field: 'matrix', message: /must be a mapping/ },
    { text: 'evaluation: 1', field: 'evaluation', message: /must be a mapping/ },
    { text: 'evaluation: { attacks: pgd }', field: 'evaluation.attacks', message: /must be a list/ },
    { text: 'evaluation: { attacks: [":"] }', field: 'evaluation.attacks[0]', message: /write NAME/ },
    { text: 'evaluation: { attacks: [pgd: 0.1] }', field: 'evaluation.attacks[0]', message: /must be text/ },
    { text: 'evaluation: { samples: some }', field: 'evaluation.samples', message: /whole number/ },
    { text: 'evaluation: { surrogates: models/1 }', field: 'evaluation.surrogates', message: /must be a list/ },
    { text: 'evaluation: { maxSeconds: soon }', field: 'evaluation.maxSeconds', message: /must be a number/ },
    { text: 'evaluation: { sample: 1 }', field: 'evaluation.sample', message: /known: attacks/ },
  ])('$text is refused by $field', ({ text, field, message }) => {
    expect(() => readSweep(text)).toThrow(
      expect.objectContaining({
        violations: [expect.objectContaining({ field, description: expect.stringMatching(message) })],
      }),
    );
  });
});
