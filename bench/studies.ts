/** One model of a study: what it is trained by. */
export interface StudyModel {
  readonly label: string;
  readonly objective: string;
  readonly settings: Readonly<Record<string, string>>;
  /** Uniform noise on the training images. */
  readonly noise?: number;
}

export interface Study {
  /** Format of the importer, or none for an embedded dataset. */
  readonly format?: string;
  readonly dataset: string;
  readonly architecture: string;
  /** Architectures of the surrogates: standard models, trained as long as the others. */
  readonly surrogates: readonly string[];
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly schedule: string;
  readonly seed: number;
  readonly models: readonly StudyModel[];
  /** The model that is trained with the loop on. */
  readonly loop: { readonly label: string; readonly samples: number };
  readonly evaluation: {
    /** Test samples; 0: all. */
    readonly samples: number;
    readonly epsilons: readonly number[];
    readonly pgdSteps: number;
  };
}

// Chosen on 2,000 held-out training images, see docs/results.md.
const JACOBIAN = { jacobianWeight: '0.01' };
const GRADIENT = { gradientWeight: '5', mask: 'hard', rampEndEpoch: '3' };
const NOISE = 0.45;

export const studies: Readonly<Record<string, Study>> = {
  // Minutes on a laptop: shows that the study runs, its figures mean little.
  glyphs: {
    dataset: 'glyphs',
    architecture: 'mlp',
    surrogates: ['smallcnn'],
    epochs: 2,
    batchSize: 64,
    learningRate: 1e-3,
    schedule: 'cosine',
    seed: 1,
    models: [
      { label: 'standard', objective: 'standard', settings: {} },
      { label: 'J-SIGR', objective: 'jsigr', settings: {} },
    ],
    loop: { label: 'J-SIGR', samples: 100 },
    evaluation: { samples: 200, epsilons: [0.1], pgdSteps: 5 },
  },
  mnist: {
    format: 'mnist',
    dataset: 'mnist',
    architecture: 'lenet',
    surrogates: ['mlp', 'smallcnn'],
    epochs: 10,
    batchSize: 64,
    learningRate: 1e-3,
    schedule: 'cosine',
    seed: 1,
    models: [
      { label: 'J-SIGR', objective: 'jsigr', settings: { ...JACOBIAN, ...GRADIENT }, noise: NOISE },
      { label: 'standard', objective: 'standard', settings: {} },
      { label: 'standard, same noise', objective: 'standard', settings: {}, noise: NOISE },
      { label: 'input gradient alone', objective: 'input-gradient', settings: GRADIENT, noise: NOISE },
      {
        label: 'Jacobian norm alone',
        objective: 'jacobian',
        settings: { ...JACOBIAN, rampEndEpoch: '3' },
        noise: NOISE,
      },
      // without the warm-up it stays at chance: 11.3 % after 10 epochs
      {
        label: 'PGD-AT-7',
        objective: 'pgd-at',
        settings: { epsilon: '0.3', steps: '7', epsilonWarmupEpochs: '5' },
      },
    ],
    loop: { label: 'J-SIGR', samples: 500 },
    evaluation: { samples: 0, epsilons: [0.1, 0.2, 0.3], pgdSteps: 20 },
  },
};
