import type { TrainingConfig } from '@jsigr/defenses';

/** A network and the data it is trained on, with the radii (linf) at which it is attacked. */
interface Task {
  /** Format of the importer, and folder of the data. */
  readonly data: string;
  readonly epsilons: readonly number[];
  readonly train: Readonly<Record<ObjectiveName, Omit<TrainingConfig, 'architecture'>>>;
}

export const OBJECTIVES = ['standard', 'pgd-at', 'jsigr'] as const;
type ObjectiveName = (typeof OBJECTIVES)[number];

/** Training images; few, because only the attacks are compared. */
export const TRAINING_IMAGES = 10_000;

const trained = (objective: string, settings: object, rest: Partial<TrainingConfig>): TrainingConfig => ({
  objective: { name: objective, settings: settings as Record<string, number | string> },
  schedule: { name: 'cosine' },
  seed: 1,
  ...rest,
});

export const TASKS: Readonly<Record<string, Task>> = {
  lenet: {
    data: 'mnist',
    epsilons: [0.3, 0.1],
    train: {
      standard: trained('standard', {}, { epochs: 6 }),
      // the radius grows slowly: at once, training stays at chance
      'pgd-at': trained('pgd-at', { epsilon: 0.3, steps: 7, epsilonWarmupEpochs: 7 }, { epochs: 10 }),
      jsigr: trained(
        'jsigr',
        { jacobianWeight: 0.01, gradientWeight: 5, mask: 'hard', rampEndEpoch: 3 },
        { epochs: 8, augmentation: { noise: 0.45 } },
      ),
    },
  },
  resnet8: {
    data: 'cifar10',
    epsilons: [8 / 255],
    train: {
      standard: trained('standard', {}, { epochs: 8, augmentation: { flip: true } }),
      'pgd-at': trained(
        'pgd-at',
        { epsilon: 8 / 255, steps: 7, epsilonWarmupEpochs: 2 },
        { epochs: 8, augmentation: { flip: true } },
      ),
      jsigr: trained(
        'jsigr',
        { jacobianWeight: 0.01, gradientWeight: 5, mask: 'hard', rampEndEpoch: 3 },
        { epochs: 6, augmentation: { flip: true } },
      ),
    },
  },
};

/** A model that is attacked, `lenet-pgd-at`. */
export interface ModelCase {
  readonly name: string;
  readonly network: string;
  readonly objective: ObjectiveName;
}

export const MODELS: readonly ModelCase[] = Object.keys(TASKS).flatMap((network) =>
  OBJECTIVES.map((objective) => ({ name: `${network}-${objective}`, network, objective })),
);

export const TOOLS = ['ours', 'torchattacks', 'foolbox', 'art'] as const;
export type Tool = (typeof TOOLS)[number];

/** `cuda` tells who breaks more, in minutes; seconds and memory are compared on `cpu` alone. */
export const BENCH_DEVICES = ['cpu', 'cuda'] as const;
export type BenchDevice = (typeof BENCH_DEVICES)[number];

/** An attack with the same steps, restarts and step sizes for everyone. */
export interface AttackCase {
  readonly name: string;
  /** Test images, from the first one on. */
  readonly samples: number;
  /** Who has it. ART's AutoAttack is another ensemble than the published one, and foolbox has only PGD. */
  readonly tools: readonly Tool[];
  /** Name and settings in our registry; without them the profile of the case's name. */
  readonly ours: { readonly attack?: string; readonly settings?: Readonly<Record<string, unknown>> };
}

export const ATTACKS: readonly AttackCase[] = [
  { name: 'pgd-40', samples: 1000, tools: TOOLS, ours: { attack: 'pgd', settings: { steps: 40 } } },
  { name: 'apgd-ce', samples: 1000, tools: ['ours', 'torchattacks', 'art'], ours: { attack: 'apgd' } },
  { name: 'apgd-t', samples: 200, tools: ['ours', 'torchattacks'], ours: { attack: 'apgd-t' } },
  { name: 'fab-t', samples: 200, tools: ['ours', 'torchattacks'], ours: { attack: 'fab-t' } },
  // As AutoAttack runs it, squares shrink as for 10,000 queries whatever their number; ART's shrink by the part of the queries that was made.
  {
    name: 'square',
    samples: 200,
    tools: ['ours', 'torchattacks'],
    ours: { attack: 'square', settings: { stretch: false } },
  },
  {
    name: 'square-stretched',
    samples: 200,
    tools: ['ours', 'art'],
    ours: { attack: 'square', settings: { stretch: true } },
  },
  { name: 'autoattack', samples: 200, tools: ['ours', 'torchattacks'], ours: {} },
  // How far it is from AutoAttack: nobody else has it.
  { name: 'rapid', samples: 200, tools: ['ours'], ours: {} },
];

/** What a worker is asked for: one line of JSON as its argument. */
export interface Job {
  readonly network: string;
  readonly attack: string;
  readonly tool: Tool;
  readonly epsilon: number;
  /** The first so many images of the file are looked at, and those attacked that the model classifies correctly. */
  readonly samples: number;
  readonly batchSize: number;
  readonly threads: number;
  readonly device: BenchDevice;
  readonly seed: number;
  /** Safetensors: `images`, `labels`, `logits` (ours) and `parameters/...`. */
  readonly input: string;
  /** Where the worker writes `adversarial`, an image for each that it attacked, as safetensors. */
  readonly output: string;
}

/** What it answers: one line of JSON. */
export interface Answer {
  readonly versions: string;
  /** Of the attack alone, what is compiled for it included. */
  readonly seconds: number;
  /** Processor seconds of the whole process. */
  readonly processorSeconds: number;
  /** Most resident memory of the process, and what it held before the attack, in bytes. */
  readonly peakBytes: number;
  readonly startBytes: number;
  /** Images through the model; ours with the rows that fill a compiled shape. */
  readonly forwards: number;
  readonly backwards: number;
  /** Largest difference from our logits, divided by the largest of them. */
  readonly deviation: number;
}
