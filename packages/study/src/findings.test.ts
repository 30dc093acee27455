import { describe, expect, test } from 'vitest';
import { cellsOf } from './cells.ts';
import { duelsOf, findings } from './findings.ts';
import { outcomesOf } from './outcomes.ts';
import type { Profile, StudyObjective } from './profile.ts';
import type { RunRecord } from './record.ts';

const row = (label: string): StudyObjective => ({ label, objective: 'o', recipes: [{ settings: {} }] });
const profile: Profile = {
  name: 'made-up',
  dataset: 'glyphs',
  images: 0,
  epochs: 1,
  batchSize: 1,
  learningRate: 1,
  augmentation: { cropPadding: 0, flip: false },
  architectures: ['lenet'],
  sources: ['lenet', 'mlp'],
  objectives: ['standard', 'Jacobian norm alone', 'J-SIGR', 'PGD-AT-7'].map(row),
  seeds: [1, 2],
  balls: [{ norm: 'linf', epsilons: [0.1] }],
  attack: 'rapid',
  samples: { attacked: 40, transferred: 40, explained: 40 },
  methods: ['gradient'],
  target: 0.9,
};

interface Made {
  readonly clean: number;
  readonly robust: number;
  readonly seconds: number;
  readonly mass: number;
  readonly masking?: 'no_sign' | 'suspected' | 'evident';
  readonly ended?: string;
}

const first = (count: number) => outcomesOf(Array.from({ length: 40 }, (_, i) => i < count));

function made(
  label: string,
  seed: number,
  { clean, robust, seconds, mass, masking = 'no_sign', ended }: Made,
): RunRecord {
  const cells = [{ norm: 'linf', epsilon: 0.1, robust: first(robust) }];
  const moments = (mean: number) => ({ count: 400, mean, deviation: 0.1 });
  return {
    spec: { id: label, label, architecture: 'lenet', objective: 'o', settings: {}, noise: 0, epochs: 1, seed },
    training: {
      key: '',
      value: {
        epochs: [{ epoch: 1, seconds, maskSeconds: 0, trainLoss: 1, heldOutAccuracy: 0.9 }],
        ended: ended ?? 'completed',
        weights: 'w',
        engine: 'e',
      },
    },
    measures: {
      whiteBox: {
        key: '',
        value: { clean: first(clean), cells, masking: { verdict: masking, samples: 40, signals: [] }, seconds: 1 },
      },
      // What comes from a model of the same architecture does not count.
      transfer: {
        key: '',
        value: {
          clean: first(clean),
          sources: { mlp: cells, lenet: [{ norm: 'linf', epsilon: 0.1, robust: first(0) }] },
        },
      },
      explanation: {
        key: '',
        value: [
          {
            method: 'gradient',
            mass: moments(mass),
            rank: moments(mass),
            insertion: moments(0.5),
            deletion: moments(0.5),
            sparseness: moments(0.5),
            stability: moments(0.5),
          },
        ],
      },
    },
  };
}

function said(change: Partial<Record<string, Partial<Made>>> = {}): string[] {
  const usual: Record<string, Made> = {
    standard: { clean: 40, robust: 2, seconds: 1, mass: 0.2 },
    'Jacobian norm alone': { clean: 38, robust: 19, seconds: 2, mass: 0.25 },
    'J-SIGR': { clean: 36, robust: 20, seconds: 3, mass: 0.3 },
    'PGD-AT-7': { clean: 38, robust: 34, seconds: 6, mass: 0.4 },
  };
  const runs = Object.entries(usual).flatMap(([label, figures]) =>
    [1, 2].map((seed) => made(label, seed, { ...figures, ...change[label] })),
  );
  const cells = cellsOf(profile, runs);
  return findings(profile, cells, duelsOf(profile, cells));
}

describe('findings are made from the numbers, for and against alike', () => {
  test('of robustness: ahead and behind only where every seed tells the models apart', () => {
    const sentences = said();
    // 20 of 40 against 19: one sample, p = 1
    expect(sentences).toContain(
      'Transferred examples, J-SIGR against Jacobian norm alone: ahead in 0 of 1 comparisons (architecture and radius), behind in 0, undecided in 1; +2.5 to +2.5 points.',
    );
    // 14 samples more, p = 2 / 2^14
    expect(sentences).toContain(
      'Transferred examples, J-SIGR against PGD-AT-7: ahead in 0 of 1 comparisons (architecture and radius), behind in 1, undecided in 0; -35.0 to -35.0 points.',
    );
    expect(sentences).toContain(
      'The strongest rival under white-box attacks is PGD-AT-7: J-SIGR is ahead of it in 0 of 1 comparisons, behind in 1.',
    );
    expect(said({ 'J-SIGR': { robust: 38 } })).toContain(
      'The strongest rival under transferred examples is PGD-AT-7: J-SIGR is ahead of it in 0 of 1 comparisons, behind in 0.',
    );
  });

  test('of cost: a bound holds or does not', () => {
    expect(said()).toContain(
      'Cost, lenet: an epoch of J-SIGR takes 0.50 times one of PGD-AT-7; the bound of 0.6 holds.',
    );
    expect(said({ 'J-SIGR': { seconds: 4.5 } })).toContain(
      'Cost, lenet: an epoch of J-SIGR takes 4.50 times one of standard; the bound of 4 does not hold.',
    );
  });

  test('of explanations: by intervals that do not overlap', () => {
    const mass = (sentences: readonly string[]) => sentences.filter((sentence) => sentence.startsWith('Relevance'));
    expect(mass(said())[0]).toMatch(/standard 20.0 .*J-SIGR is above, and the intervals do not overlap/);
    expect(mass(said())[1]).toMatch(/PGD-AT-7 40.0 .*J-SIGR is below, and the intervals do not overlap/);
    expect(mass(said({ 'J-SIGR': { mass: 0.205 } }))[0]).toMatch(/the intervals overlap/);
  });

  test('of masked gradients and of trainings that broke down', () => {
    const sentences = said({ 'J-SIGR': { masking: 'suspected' }, 'PGD-AT-7': { ended: 'the loss is NaN' } });
    expect(sentences).toContain(
      'Masked gradients are suspected at J-SIGR (lenet) (linf 0.1): their white-box figures may be too good.',
    );
    expect(sentences).toContain('Training broke down: lenet, PGD-AT-7, seed 2: the loss is NaN.');
  });
});

test('a training that broke down before its first epoch counts for no cost', () => {
  const whole = made('J-SIGR', 1, { clean: 36, robust: 20, seconds: 3, mass: 0.3 });
  const training = { key: '', value: { epochs: [], ended: 'diverged', weights: '', engine: 'e' } };
  const broken = { spec: { ...whole.spec, seed: 2 }, training, measures: {} };
  const costs = (...runs: RunRecord[]) =>
    cellsOf(profile, runs)
      .filter(({ label }) => label === 'J-SIGR')
      .map(({ secondsPerEpoch, seconds }) => [secondsPerEpoch?.mean, seconds?.mean]);
  expect(costs(whole, broken)).toEqual([[3, 3]]);
  expect(costs(broken)).toEqual([[undefined, undefined]]);
  const cells = cellsOf(profile, [made('standard', 2, { clean: 40, robust: 2, seconds: 1, mass: 0.2 }), broken]);
  expect(findings(profile, cells, duelsOf(profile, cells)).join()).not.toContain('NaN');
});
