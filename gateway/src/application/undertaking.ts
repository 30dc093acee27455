import { type NetworkDescription, planTraining, problemsOf, type TrainingPlan } from '@jsigr/defenses';
import type { Activation, HeldOutPart, NormKind } from '@jsigr/models';
import { type Dataset, Feedback, type Model, type TrainingSpec } from '@jsigr/proto';
import { settingsFromText } from '@jsigr/service';
import type { ModelFinder } from './models.ts';
import { networkOf } from './training-spec.ts';
import type { Violations } from './violations.ts';

/** The models that a spec names. */
interface Named {
  readonly initial: Model | undefined;
  readonly teacher: Model | undefined;
  readonly surrogates: readonly (Model | undefined)[];
  /** What the training of the initial model held out. */
  readonly heldOut: HeldOutPart | undefined;
}

/** How the models of a spec are found, and what is known of them. */
export interface ModelLookup {
  readonly find: ModelFinder;
  readonly heldOutBy: (model: Model) => Promise<HeldOutPart | undefined>;
}

const MOST_SURROGATES = 8;

/** Configuration fields of the training loop, as the contract calls them; the first prefix that fits counts. */
const contractFields: readonly (readonly [string, string])[] = [
  ['objective.settings', 'spec.objectiveSettings'],
  ['initial', 'spec.initialModel'],
  ['', 'spec.'],
];

/**
 * What a spec's fields say together: do its fixed networks fit, is every setting of use? A violation for each that does not.
 * @returns the spec with the full names of its models
 */
export async function checkUndertaking(
  spec: TrainingSpec,
  dataset: Dataset | undefined,
  models: ModelLookup,
  violations: Violations,
): Promise<TrainingSpec> {
  if (spec.surrogates.length > MOST_SURROGATES) {
    violations.add('spec.surrogates', `${spec.surrogates.length} given, at most ${MOST_SURROGATES} allowed`);
    return spec;
  }
  const find = (name: string, field: string): Promise<Model | undefined> =>
    name === '' ? Promise.resolve(undefined) : found(models.find, name, field, violations);
  const initial = await find(spec.initialModel, 'spec.initialModel');
  const named: Named = {
    initial,
    heldOut: initial && (await models.heldOutBy(initial)),
    teacher: await find(spec.teacher, 'spec.teacher'),
    surrogates: await Promise.all(
      spec.surrogates.map((name, i) => found(models.find, name, `spec.surrogates[${i}]`, violations)),
    ),
  };
  const plan = planOf(spec, dataset);
  // Where a model or a setting is unknown that has been said, and what follows from it would only confuse.
  if (plan && !plan.objective.ramp && spec.loop?.feedback === Feedback.FEEDBACK_ADAPT)
    violations.add('spec.loop.feedback', `${spec.objective} has no penalties that could follow the reports`);
  if (plan && dataset && allFound(spec, named))
    for (const problem of problems(plan, spec, dataset, named)) {
      violations.add(fieldOf(problem.field), problem.message);
    }
  return {
    ...spec,
    initialModel: named.initial?.name ?? spec.initialModel,
    teacher: named.teacher?.name ?? spec.teacher,
    surrogates: spec.surrogates.map((name, i) => named.surrogates[i]?.name ?? name),
  };
}

function problems(plan: Plan, spec: TrainingSpec, dataset: Dataset, named: Named) {
  return problemsOf({
    plan,
    model: networkOf(spec, dataset),
    dataset: dataset.digest,
    initial: named.initial && { ...description(named.initial), heldOut: named.heldOut },
    teacher: named.teacher && description(named.teacher),
    surrogates: named.surrogates.flatMap((model) => (model ? [description(model)] : [])),
  });
}

type Plan = Pick<TrainingPlan, 'config' | 'objective'>;

/** The configuration as far as its parts depend on each other; undefined where one of them is wrong by itself. */
function planOf(spec: TrainingSpec, dataset: Dataset | undefined): Plan | undefined {
  const { architecture, activation, norm, denoise } = spec;
  const { objective, objectiveSettings, epochs, batchSize, seed, augmentation, techniques } = spec;
  try {
    if (dataset) networkOf(spec, dataset);
    return planTraining({
      architecture,
      ...(activation ? { activation: activation as Activation } : {}),
      ...(norm ? { norm: norm as NormKind } : {}),
      denoise,
      objective: { name: objective, settings: settingsFromText(objectiveSettings) },
      epochs,
      batchSize,
      seed,
      augmentation: { cutout: augmentation?.cutout ?? 0 },
      techniques: settingsFromText(techniques),
    });
  } catch {
    return undefined;
  }
}

async function found(
  models: ModelFinder,
  name: string,
  field: string,
  violations: Violations,
): Promise<Model | undefined> {
  try {
    return await models(name, field);
  } catch (error) {
    return violations.addError(field, error);
  }
}

function allFound({ initialModel, teacher }: TrainingSpec, named: Named): boolean {
  const missing = (name: string, model: Model | undefined) => name !== '' && model === undefined;
  return !(
    missing(initialModel, named.initial) ||
    missing(teacher, named.teacher) ||
    named.surrogates.includes(undefined)
  );
}

/** Of an imported model the switches are not known. */
function description(model: Model): NetworkDescription {
  const { name, architecture, input, classes, activation, norm, denoise, blackBox } = model;
  const [height = 0, width = 0, channels = 0] = input;
  const switches = activation ? { activation, norm, denoise } : {};
  return { id: name, architecture, ...switches, input: [height, width, channels], classes, blackBox };
}

function fieldOf(field: string): string {
  const [prefix = '', contract = ''] = contractFields.find(([start]) => field.startsWith(start)) ?? [];
  return `${contract}${field.slice(prefix.length)}`;
}
