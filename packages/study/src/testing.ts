import { outcomesOf } from './outcomes.ts';
import type { Profile, StudyObjective } from './profile.ts';
import type { RunRecord } from './record.ts';
import { PLAIN_ATTACK } from './transfer.ts';

const row = (label: string): StudyObjective => ({ label, objective: 'o', recipes: [{ settings: {} }] });
/** A study of one architecture and two seeds, of 40 samples, whose figures are made up. */
export const profile: Profile = {
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

export interface Made {
  readonly clean: number;
  /** Samples that stay correct under transferred examples and under white-box attacks. */
  readonly robust: number;
  /** Under the plain transferred attack; absent: it was not made. */
  readonly plain?: number;
  readonly seconds: number;
  readonly mass: number;
  readonly masking?: 'no_sign' | 'suspected' | 'evident';
  readonly ended?: string;
  readonly machine?: string;
}

const first = (count: number) => outcomesOf(Array.from({ length: 40 }, (_, i) => i < count));

const cell = (count: number) => ({ norm: 'linf', epsilon: 0.1, robust: first(count) });

export function made(
  label: string,
  seed: number,
  { clean, robust, plain, seconds, mass, masking = 'no_sign', ended, machine = 'm' }: Made,
): RunRecord {
  const moments = (mean: number) => ({ count: 400, mean, deviation: 0.1 });
  return {
    spec: { id: label, label, architecture: 'lenet', objective: 'o', settings: {}, noise: 0, epochs: 1, seed },
    training: {
      key: '',
      value: {
        epochs: [{ epoch: 1, seconds, maskSeconds: 0, trainLoss: 1, heldOutAccuracy: 0.9 }],
        ended: ended ?? 'completed',
        weights: 'w',
        machine,
      },
    },
    measures: {
      clean: { key: '', value: first(clean) },
      whiteBox: {
        key: '',
        value: {
          clean: first(clean),
          cells: [cell(robust)],
          masking: { verdict: masking, samples: 40, signals: [] },
          seconds: 1,
        },
      },
      // What comes from a model of the same architecture does not count.
      transfer: {
        key: '',
        value: {
          clean: first(clean),
          sources: {
            mlp: [cell(robust), ...(plain === undefined ? [] : [{ ...cell(plain), attack: PLAIN_ATTACK }])],
            lenet: [cell(0)],
          },
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

export const usual: Readonly<Record<string, Made>> = {
  standard: { clean: 40, robust: 2, seconds: 1, mass: 0.2 },
  'Jacobian norm alone': { clean: 38, robust: 19, seconds: 2, mass: 0.25 },
  'J-SIGR': { clean: 36, robust: 20, seconds: 3, mass: 0.3 },
  'PGD-AT-7': { clean: 38, robust: 34, seconds: 6, mass: 0.4 },
};

/** The usual figures with some of them changed. */
export function madeUp(change: Partial<Record<string, Partial<Made>>> = {}): RunRecord[] {
  return Object.entries(usual).flatMap(([label, figures]) =>
    [1, 2].map((seed) => made(label, seed, { ...figures, ...change[label] })),
  );
}
