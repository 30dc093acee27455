import { type AttackPlan, type Dataset, EvaluationPlan } from '@jsigr/proto';
import { type Command, Option } from 'commander';
import { attack, integer, number, numbers, profile, repeated, resource } from './options.ts';

/** Options of a command that attacks something. */
export interface PlanOptions {
  readonly attack?: readonly AttackPlan[];
  readonly profile?: string;
  readonly cascade?: boolean;
  readonly assessMasking?: boolean;
  readonly epsilon?: readonly number[];
  readonly samples: number;
  readonly surrogate?: readonly string[];
  readonly maxForwards?: number;
  readonly maxBackwards?: number;
  readonly maxSeconds?: number;
}

/**
 * Adds --attack, --cascade, --epsilon, --samples, --surrogate and the limits of what the attacks spend. Where the command has --no-loop too, they say nothing
 * beside it.
 */
export function withPlanOptions(command: Command, samples: number): Command {
  for (const option of planOptions(samples)) command.addOption(option.conflicts('loop'));
  return command;
}

function planOptions(samples: number): readonly Option[] {
  return [
    new Option(
      '--attack <plan>',
      'NAME[@NORM][:EPSILONS][:key=value,...], e.g. pgd:0.1,0.2 or pgd@l2:0.5:steps=40; repeat for more (`jsigr attacks list` has them all)',
    ).argParser(repeated(attack)),
    new Option(
      '--cascade',
      'each attack meets only what the ones before it left standing (a profile decides this itself)',
    ),
    new Option(
      '--epsilon <list>',
      'radii for attacks that name none, in units of the [0,1] pixel range, e.g. 0.1,0.2 or 8/255 (default: by the number of channels)',
    ).argParser(numbers),
    new Option('--samples <count>', 'samples to attack, from the start of the part; 0: all')
      .argParser(integer(0))
      .default(samples),
    new Option(
      '--surrogate <model>',
      'model that transferred examples are crafted on; repeat for more (default: two standard models of other architectures)',
    ).argParser(repeated((name) => resource('models', name))),
    new Option(
      '--max-forwards <count>',
      'forward passes (images) that the attacks spend together; what is left then counts as robust, and is said',
    ).argParser(integer(1)),
    new Option('--max-backwards <count>', 'the same of backward passes: gradients of images').argParser(integer(1)),
    new Option(
      '--max-seconds <number>',
      'the same of seconds; unlike a limit of passes it makes results depend on the machine',
    ).argParser(number),
  ];
}

/** Radii that are usual for grey images and for colour images (linf, [0,1] pixels). */
export function usualEpsilons(channels: number): readonly number[] {
  return channels === 1 ? [0.1, 0.2, 0.3] : [2 / 255, 4 / 255, 8 / 255];
}

/**
 * The plan that the options ask for; `attacks` are the names that are used where there is no --attack.
 * A radius that an attack names itself goes before --epsilon, and that before what is usual for the dataset.
 */
export function planOf(
  options: PlanOptions,
  dataset: Dataset | undefined,
  rest: { readonly attacks: readonly string[]; readonly part: string; readonly seed: number },
): EvaluationPlan {
  const epsilons = options.epsilon ?? usualEpsilons(dataset?.input[2] ?? 1);
  const common = {
    samples: options.samples,
    part: rest.part,
    surrogates: [...(options.surrogate ?? [])],
    seed: rest.seed,
    assessMasking: options.assessMasking ?? false,
    maxForwards: options.maxForwards ?? 0,
    maxBackwards: options.maxBackwards ?? 0,
    maxSeconds: options.maxSeconds ?? 0,
  };
  if (options.profile) {
    const own = options.attack ? { attacks: [...options.attack] } : {}; // for the gateway to refuse
    return EvaluationPlan.fromPartial({ ...common, ...own, profile: options.profile, epsilons: [...epsilons] });
  }
  const named = options.attack ?? rest.attacks.map(attack);
  return EvaluationPlan.fromPartial({
    attacks: named.map((plan) => ({ ...plan, epsilons: plan.epsilons.length > 0 ? plan.epsilons : [...epsilons] })),
    ...common,
    cascade: options.cascade ?? false,
  });
}

/** Adds --profile and --assess-masking, for commands that attack a finished model. */
export function withProfileOption(command: Command): Command {
  return command
    .option('--assess-masking', 'look for masked gradients too, and say what was found')
    .addOption(
      new Option(
        '--profile <name>',
        'attacks by a name instead of --attack: smoke, rapid, standard, autoattack, black-box or transfer, NAME[@NORM]',
      ).argParser(profile),
    );
}
