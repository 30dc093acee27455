import { describe, expect, it } from 'vitest';
import type { JsonObject } from './like.ts';
import { expandMatrix } from './matrix.ts';

const training = {
  dataset: 'glyphs',
  architecture: 'mlp',
  objective: 'jsigr',
  epochs: 2,
  objectiveSettings: { mask: 'soft' },
};

describe('a matrix', () => {
  it('gives every combination, the last axis fastest', () => {
    const { axes, runs } = expandMatrix(training, { architecture: ['mlp', 'lenet'], seed: [1, 2, 3] });
    expect(axes).toEqual(['architecture', 'seed']);
    expect(runs.map(({ values }) => values.join(' '))).toEqual([
      'mlp 1',
      'mlp 2',
      'mlp 3',
      'lenet 1',
      'lenet 2',
      'lenet 3',
    ]);
    expect(runs.map(({ spec }) => [spec.architecture, spec.seed])).toEqual(
      ['mlp', 'lenet'].flatMap((architecture) => [1, 2, 3].map((seed) => [architecture, seed])),
    );
    expect(new Set(runs.map(({ requestId }) => requestId)).size).toBe(6);
  });

  it('without axes is one run', () => {
    const { runs } = expandMatrix(training, {});
    expect(runs).toHaveLength(1);
    expect(runs[0]?.spec).toMatchObject({ dataset: 'datasets/glyphs', objectiveSettings: { mask: 'soft' } });
  });

  it('reaches into settings by dots, and merges mappings', () => {
    const { runs } = expandMatrix(training, {
      'objectiveSettings.gradientWeight': [1, 0.5],
      objective: ['jsigr', { label: 'two', objective: 'selective', objectiveSettings: { mask: 'hard' }, epochs: 9 }],
    });
    expect(runs.map(({ values, spec }) => [...values, spec.objective, spec.epochs, spec.objectiveSettings])).toEqual([
      ['1', 'jsigr', 'jsigr', 2, { mask: 'soft', gradientWeight: '1' }],
      ['1', 'two', 'selective', 9, { mask: 'hard', gradientWeight: '1' }],
      ['0.5', 'jsigr', 'jsigr', 2, { mask: 'soft', gradientWeight: '0.5' }],
      ['0.5', 'two', 'selective', 9, { mask: 'hard', gradientWeight: '0.5' }],
    ]);
  });

  it('calls values of the same name also by what sets them apart', () => {
    const { runs } = expandMatrix(training, {
      objective: [
        { objective: 'jsigr', objectiveSettings: { gradientWeight: 5, jacobianWeight: 0.1 } },
        {
          objective: 'jsigr',
          objectiveSettings: { gradientWeight: 1, jacobianWeight: 0.1 },
          optimizer: { name: 'sgd' },
        },
        { objective: 'jsigr', objectiveSettings: { jacobianWeight: 0.1 } },
        'standard',
      ],
      seed: [1, 2],
    });
    expect(runs.map(({ values }) => values)).toEqual(
      ['jsigr gradientWeight=5', 'jsigr gradientWeight=1 optimizer.name=sgd', 'jsigr', 'standard'].flatMap((label) =>
        ['1', '2'].map((seed) => [label, seed]),
      ),
    );
    const recipes = runs.map(({ recipe }) => recipe);
    expect(new Set(recipes).size).toBe(4);
    for (const at of [0, 2, 4, 6]) expect(recipes[at]).toBe(recipes[at + 1]);
  });

  it('gives the same run the same request id, however it is written', () => {
    const [a] = expandMatrix(training, { seed: [7] }).runs;
    const [b] = expandMatrix({ ...training, seed: 7, dataset: 'datasets/glyphs' }, {}).runs;
    expect(a?.requestId).toBe(b?.requestId);
  });

  const refused: readonly { readonly what: string; readonly matrix: JsonObject; readonly field: string }[] = [
    { what: 'no list', matrix: { seed: 1 }, field: 'matrix.seed' },
    { what: 'an empty list', matrix: { seed: [] }, field: 'matrix.seed' },
    { what: 'an unknown field', matrix: { sead: [1] }, field: 'training.sead' },
    { what: 'an unknown part of a field', matrix: { 'optimizer.rate': [1] }, field: 'training.optimizer.rate' },
    { what: 'a name in place of a mapping', matrix: { optimizer: ['adam', 'sgd'] }, field: 'training.optimizer' },
    {
      what: 'a name that another axis would hide',
      matrix: { objective: [{ optimizer: 'sgd' }], 'optimizer.momentum': [0.9] },
      field: 'training.optimizer',
    },
    { what: 'half an epoch', matrix: { epochs: [2, 2.5] }, field: 'training.epochs' },
    { what: 'nothing', matrix: { seed: [null] }, field: 'training.seed' },
    {
      what: 'a list of settings',
      matrix: { 'techniques.averageDecay': [[0.9]] },
      field: 'training.techniques.averageDecay',
    },
    { what: 'too many', matrix: { seed: Array(30).fill(1), epochs: Array(30).fill(1) }, field: 'matrix' },
    { what: 'a value twice', matrix: { seed: [1, 2, 1] }, field: 'matrix' },
    {
      what: 'a setting twice, however it is written',
      matrix: { 'objectiveSettings.gradientWeight': [1, '1'] },
      field: 'matrix',
    },
    {
      what: 'two names for the same run',
      matrix: {
        objective: [
          { label: 'a', objective: 'standard' },
          { label: 'b', objective: 'standard' },
        ],
      },
      field: 'matrix',
    },
  ];
  it.each(refused)('with $what is refused', ({ matrix, field }) => {
    expect(() => expandMatrix(training, matrix)).toThrow(
      expect.objectContaining({ violations: [expect.objectContaining({ field })] }),
    );
  });
});
