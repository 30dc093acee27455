import { type HeldOutPart, IMPORTED_ARCHITECTURE, type ImageShape } from '@jsigr/models';
import type { TrainingPlan } from './config.ts';
import { findObjective } from './objectives/registry.ts';
import { classWeightsProblem } from './techniques.ts';

/** What is known of a network before its weights are read. */
export interface NetworkDescription {
  readonly id: string;
  readonly architecture: string;
  /** The switches of the architecture; absent where they are not known, which is no mistake. */
  readonly activation?: string | undefined;
  readonly norm?: string | undefined;
  readonly denoise?: boolean | undefined;
  readonly input: ImageShape;
  readonly classes: number;
  /** Why the model can only be asked, where that is so. */
  readonly blackBox?: string | undefined;
  /** What its own training held out, where that is known. */
  readonly heldOut?: HeldOutPart | undefined;
}

/** A training run as far as it can be judged before it begins. */
export interface Undertaking {
  readonly plan: Pick<TrainingPlan, 'config' | 'objective'>;
  /** Epochs that `steps` make of the data, where they are given and the data are known. */
  readonly stepsInEpochs?: number;
  /** Digest of the dataset; absent where it has none. */
  readonly dataset?: string;
  /** The network to be trained. */
  readonly model: Omit<NetworkDescription, 'id'>;
  readonly initial?: NetworkDescription | undefined;
  readonly teacher?: NetworkDescription | undefined;
  readonly surrogates: readonly NetworkDescription[];
}

export interface Problem {
  /** A field of the configuration (`objective.settings.maskWarmupEpochs`), or `initial`, `teacher`, `surrogates[0]`. */
  readonly field: string;
  readonly message: string;
}

type Check = (undertaking: Undertaking) => readonly Problem[];

/** What no setting shows alone: all that does not fit together, in the order of these checks. */
export function problemsOf(undertaking: Undertaking): readonly Problem[] {
  return CHECKS.flatMap((check) => check(undertaking));
}

const CHECKS: readonly Check[] = [
  ({ plan: { objective, config }, teacher }) => {
    const wanted = objective.saliency?.source === 'teacher';
    if (wanted && !teacher)
      return [{ field: 'teacher', message: `is missing: ${config.objective.name} takes its saliency from a teacher` }];
    if (!wanted && teacher)
      return [{ field: 'teacher', message: `${teacher.id} given, but nothing uses it: set saliencySource=teacher` }];
    return [];
  },
  ({ plan: { objective, config }, surrogates }) => {
    if (objective.needsSurrogates && surrogates.length === 0)
      return [
        { field: 'surrogates', message: `are missing: ${config.objective.name} trains on their adversarial examples` },
      ];
    if (!objective.needsSurrogates && surrogates.length > 0)
      return [
        {
          field: 'surrogates',
          message: `${surrogates.length} given, but ${config.objective.name} uses none: ensemble-at does`,
        },
      ];
    return [];
  },
  ({ model, teacher }) => (teacher ? differences('teacher', teacher, model) : []),
  ({ model, initial }) => (initial ? differences('initial', initial, model) : []),
  leaks,
  ({ model, initial, plan: { config } }) => {
    if (model.architecture !== IMPORTED_ARCHITECTURE) return [];
    const usual = config.activation === 'relu' ? [] : ['activation' as const];
    const given = (['norm', 'denoise'] as const).filter((name) => config[name]);
    return [
      ...(initial ? [] : [{ field: 'initial', message: `is missing: ${model.architecture} is an imported network` }]),
      ...[...usual, ...given].map((field) => ({
        field,
        message: `${config[field]} given, but an imported network stays as it is: leave it out`,
      })),
    ];
  },
  ({ model, surrogates }) =>
    surrogates.flatMap((surrogate, i) =>
      differences(`surrogates[${i}]`, surrogate, { ...model, ...switchesOf(surrogate) }),
    ),
  (undertaking) => {
    const { objective, config } = undertaking.plan;
    const { saliency, saliencyIsOptional, ramp } = objective;
    const length = lengthOf(undertaking);
    if (length === undefined) return [];
    const usual = findObjective(config.objective.name).parse({});
    const last = Math.ceil(length) - 1;
    const late = (name: string, value: number, why: string) => ({
      field: `objective.settings.${name}`,
      message: `${value} ${value === usual[name] ? 'by default' : 'given'}, but training ends after ${ofEpochs(length)}: ${why}`,
    });
    const radius = Number(config.objective.settings.epsilonWarmupEpochs ?? 0);
    return [
      // J-SIGR's default is for trainings of any length: the shortest have no masks.
      ...(saliency &&
      saliency.warmupEpochs > last &&
      !(saliencyIsOptional && saliency.warmupEpochs === usual.maskWarmupEpochs)
        ? [late('maskWarmupEpochs', saliency.warmupEpochs, 'there would never be saliency')]
        : []),
      ...(ramp && ramp.startEpoch >= length
        ? [late('rampStartEpoch', ramp.startEpoch, 'there would never be a penalty')]
        : []),
      ...(radius > last
        ? [late('epsilonWarmupEpochs', radius, `the last must have the whole radius; at most ${last} allowed`)]
        : []),
    ];
  },
  ({ plan: { config }, model }) => {
    const message = classWeightsProblem(config.techniques.classWeights, model.classes);
    return message ? [{ field: 'techniques.classWeights', message }] : [];
  },
  ({ plan: { config } }) =>
    config.techniques.earlyStoppingPatience > 0 && config.heldOutFraction === 0
      ? [{ field: 'techniques.earlyStoppingPatience', message: 'needs held-out images: heldOutFraction is 0' }]
      : [],
  ({ plan: { config, objective } }) => {
    const least = objective.leastBatch ?? 1;
    if (config.batchSize >= least) return [];
    return [{ field: 'batchSize', message: `${config.batchSize} given, ${config.objective.name} needs ${least}` }];
  },
  ({ plan: { config }, model }) => {
    const { cutout } = config.augmentation;
    const side = Math.min(model.input[0], model.input[1]);
    return cutout < side
      ? []
      : [{ field: 'augmentation.cutout', message: `${cutout} given, images have sides of ${side}` }];
  },
];

/**
 * Held-out images that the weights to begin with were trained on: every choice would be made on what is known by heart. Of one seed a smaller
 * fraction holds out a part of what a larger one does.
 */
function leaks({ initial, dataset, plan: { config } }: Undertaking): readonly Problem[] {
  const { seed, heldOutFraction } = config;
  const before = initial?.heldOut;
  if (!before || before.dataset !== dataset || heldOutFraction === 0) return [];
  const field = 'initial';
  const seen = `${initial.id} was trained on images that`;
  if (heldOutFraction > before.fraction)
    return [
      { field, message: `${seen} heldOutFraction ${heldOutFraction} holds out: at most ${before.fraction} allowed` },
    ];
  if (seed === before.seed) return [];
  return [{ field, message: `${seen} seed ${seed} holds out: use seed ${before.seed}` }];
}

/** Epochs of a training, a fraction where it ends within one; undefined where the data would have to be known. */
function lengthOf({ plan: { config }, stepsInEpochs }: Undertaking): number | undefined {
  return config.steps === undefined ? config.epochs : stepsInEpochs;
}

function ofEpochs(length: number): string {
  const count = Number(length.toFixed(2));
  return `${count} epoch${count === 1 ? '' : 's'}`;
}

/** What a network is beside its images and classes, with the words for a difference. */
const SWITCHES = {
  architecture: (its: unknown, ours: unknown) => `is a ${its}, a ${ours} is trained`,
  activation: (its: unknown, ours: unknown) => `has the activation ${its}, ${ours} is trained`,
  norm: (its: unknown, ours: unknown) => `has the norm ${its}, ${ours} is trained`,
  denoise: (its: unknown) =>
    its ? 'has denoising blocks, what is trained has none' : 'has no denoising blocks, what is trained has some',
} as const;
type Switch = keyof typeof SWITCHES;
const switches = Object.keys(SWITCHES) as Switch[];

function switchesOf(network: NetworkDescription): Pick<NetworkDescription, Switch> {
  return Object.fromEntries(switches.map((name) => [name, network[name]])) as unknown as Pick<
    NetworkDescription,
    Switch
  >;
}

function differences(field: string, network: NetworkDescription, model: Omit<NetworkDescription, 'id'>): Problem[] {
  const { input, classes } = network;
  const wrong = (message: string) => ({ field, message: `${network.id} ${message}` });
  const differing = switches.filter((name) => {
    const [its, ours] = [network[name], model[name]];
    return its !== undefined && ours !== undefined && its !== ours;
  });
  return [
    ...differing.map((name) => wrong(SWITCHES[name](network[name], model[name]))),
    ...(network.blackBox ? [wrong(`has no gradients: it is a black box, ${network.blackBox}`)] : []),
    ...(input.join() === model.input.join()
      ? []
      : [wrong(`takes images of [${input.join(', ')}], the dataset's are [${model.input.join(', ')}]`)]),
    ...(classes === model.classes ? [] : [wrong(`tells ${classes} classes apart, the dataset has ${model.classes}`)]),
  ];
}
