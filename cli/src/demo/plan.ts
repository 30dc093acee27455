/** Everything that decides how long the demonstration takes. */
export interface DemoPlan {
  readonly epochs: number;
  /** Epochs over which adversarial training's radius grows to EPSILON: from scratch at 0.1 it does not get off the ground on glyphs. */
  readonly warmupEpochs: number;
  readonly batchSize: number;
  /** Held-out samples that the loop's attacker tries at each checkpoint. */
  readonly loopSamples: number;
  readonly loopSteps: number;
  /** Test samples of the final evaluations, and the steps of their PGD. */
  readonly samples: number;
  readonly steps: number;
  /** Test samples whose maps are held against the ground-truth masks. */
  readonly relevanceSamples: number;
  /** Samples in the report's grid. */
  readonly shown: number;
}

/** Sized for 5 minutes on 2 cores. */
export const demoPlan: DemoPlan = {
  epochs: 5,
  warmupEpochs: 3,
  batchSize: 64,
  loopSamples: 200,
  loopSteps: 10,
  samples: 500,
  steps: 20,
  relevanceSamples: 100,
  shown: 4,
};

/** Shows that everything works; its figures mean nothing. */
export const quickPlan: DemoPlan = {
  epochs: 1,
  warmupEpochs: 0,
  batchSize: 64,
  loopSamples: 32,
  loopSteps: 3,
  samples: 48,
  steps: 3,
  relevanceSamples: 8,
  shown: 2,
};

export const DATASET = 'datasets/glyphs';
export const ARCHITECTURE = 'lenet';
export const NORM = 'linf';
export const EPSILONS: readonly number[] = [0.05, 0.1, 0.2];
/** Radius of the loop, of the summary table and of the pictures. */
export const EPSILON = 0.1;

export interface DemoModel {
  readonly label: string;
  readonly meaning: string;
  readonly objective: string;
  readonly settings: (plan: DemoPlan) => Readonly<Record<string, string>>;
}

export const MODELS: readonly DemoModel[] = [
  { label: 'standard', meaning: 'cross-entropy alone', objective: 'standard', settings: () => ({}) },
  {
    label: 'PGD-AT',
    meaning: `trained on adversarial examples of linf ${EPSILON}`,
    objective: 'pgd-at',
    settings: ({ warmupEpochs }) => ({ epsilon: String(EPSILON), epsilonWarmupEpochs: String(warmupEpochs) }),
  },
  { label: 'J-SIGR', meaning: 'Jacobian and selective gradient penalties', objective: 'jsigr', settings: () => ({}) },
];

/** Saliency method of the relevance figures and of the samples' grid, then the others that one image is explained by. */
export const METHOD = 'gradient';
export const METHODS: readonly string[] = [METHOD, 'smoothgrad', 'integrated-gradients', 'perturbation'];

/** Most samples whose adversarial examples an attack keeps (the contract's limit). */
export const KEPT_EXAMPLES = 16;
