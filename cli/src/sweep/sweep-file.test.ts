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
    { text: 'matrices: {}', field: 'file.matrices', message: /known: training, matrix, evaluation/ },
    { text: 'training: 1', field: 'training', message: /must be a mapping/ },
    { text: 'matrix: 1', field: 'matrix', message: /must be a mapping/ },
    { text: 'evaluation: 1', field: 'evaluation', message: /must be a mapping/ },
    { text: 'evaluation: { attacks: pgd }', field: 'evaluation.attacks', message: /must be a list/ },
    { text: 'evaluation: { attacks: [":"] }', field: 'evaluation.attacks[0]', message: /write NAME/ },
    { text: 'evaluation: { sample: 1 }', field: 'evaluation.sample', message: /known: attacks/ },
  ])('$text is refused by $field', ({ text, field, message }) => {
    expect(() => readSweep(text)).toThrow(
      expect.objectContaining({
        violations: [expect.objectContaining({ field, description: expect.stringMatching(message) })],
      }),
    );
  });
});
