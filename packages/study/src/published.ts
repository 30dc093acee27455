import type { Ball } from './profile.ts';

/** An accuracy that somebody published, of a model and in a setting of their own. */
export interface PublishedRow {
  readonly dataset: string;
  readonly method: string;
  readonly source: string;
  readonly kind: 'transferred' | 'white-box';
  readonly attack: string;
  readonly norm: Ball['norm'];
  /** In percent. */
  readonly clean?: number;
  /** In percent, by radius in units of images in [0,1]. */
  readonly robust: readonly (readonly [epsilon: number, accuracy: number])[];
  /** What makes it another experiment than ours. */
  readonly setting: string;
  /** Label of our row that is trained by the same objective. */
  readonly ours: string;
}

const ROSS = {
  dataset: 'mnist',
  source: 'Ross and Doshi-Velez 2018, their table',
  kind: 'transferred',
  attack: 'FGSM on one standard model',
  norm: 'linf',
  setting:
    'the first 256 test images; two convolutions of 5x5x32 and 5x5x64 and 1,024 hidden units, of source and target alike; 15,000 batches of 256',
} as const;

/** Nearest published figures. They are quoted, not measured here. */
export const PUBLISHED: readonly PublishedRow[] = [
  {
    ...ROSS,
    method: 'double backpropagation',
    clean: 99.42,
    robust: [
      [0.1, 98.4],
      [0.2, 92.2],
      [0.3, 79.7],
    ],
    ours: 'input gradient (Ross)',
  },
  {
    ...ROSS,
    method: 'FGSM-AT',
    clean: 99.2,
    robust: [
      [0.1, 98.4],
      [0.2, 97.3],
      [0.3, 85.5],
    ],
    ours: 'FGSM-RS',
  },
  {
    dataset: 'mnist',
    method: 'PGD-AT',
    source: 'Madry et al. 2018, in the table of AutoAttack (Croce and Hein 2020)',
    kind: 'white-box',
    attack: 'AutoAttack',
    norm: 'linf',
    robust: [[0.3, 88.5]],
    setting: 'all 10,000 test images; 40 steps of 0.01, 100,000 batches of 50; their own network',
    ours: 'PGD-AT-7',
  },
  {
    dataset: 'mnist',
    method: 'TRADES (beta 1)',
    source: 'Zhang et al. 2019, in the table of AutoAttack (Croce and Hein 2020)',
    kind: 'white-box',
    attack: 'AutoAttack',
    norm: 'linf',
    clean: 99.48,
    robust: [[0.3, 92.81]],
    setting: 'all 10,000 test images; 40 steps of 0.01; their own network',
    ours: 'TRADES',
  },
  {
    dataset: 'mnist',
    method: 'FGSM-RS (fast AT)',
    source: 'Wong et al. 2020, in the table of AutoAttack (Croce and Hein 2020)',
    kind: 'white-box',
    attack: 'AutoAttack',
    norm: 'linf',
    robust: [[0.3, 82.93]],
    setting: 'all 10,000 test images; one step of 0.375, 10 epochs; their own network',
    ours: 'FGSM-RS',
  },
  {
    dataset: 'cifar-subset',
    method: 'PGD-AT',
    source: 'Madry et al. 2018',
    kind: 'white-box',
    attack: 'the best of their attacks',
    norm: 'linf',
    clean: 87.25,
    robust: [[8 / 255, 43.95]],
    setting: 'all of CIFAR-10 (50,000 training images), a wide ResNet',
    ours: 'PGD-AT-7',
  },
  {
    dataset: 'cifar-subset',
    method: 'TRADES (beta 6)',
    source: 'Zhang et al. 2019',
    kind: 'white-box',
    attack: 'AutoAttack',
    norm: 'linf',
    clean: 84.92,
    robust: [[8 / 255, 53.08]],
    setting: 'all of CIFAR-10 (50,000 training images), WRN-34-10',
    ours: 'TRADES',
  },
  {
    dataset: 'cifar-subset',
    method: 'FGSM-RS (fast AT)',
    source: 'Wong et al. 2020',
    kind: 'white-box',
    attack: 'PGD',
    norm: 'linf',
    clean: 86.06,
    robust: [[8 / 255, 46.06]],
    setting: 'all of CIFAR-10 (50,000 training images)',
    ours: 'FGSM-RS',
  },
];
