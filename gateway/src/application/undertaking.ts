import { type NetworkDescription, planTraining, problemsOf, type TrainingPlan } from '@jsigr/defenses';
import type { Dataset, Model, TrainingSpec } from '@jsigr/proto';
import { JsigrError, settingsFromText } from '@jsigr/service';
import type { Models } from './models.ts';
import type { Violations } from './violations.ts';

/** The models that a spec names. */
interface Named {
  readonly initial: Model | undefined;
  readonly teacher: Model | undefined;
  readonly surrogates: readonly (Model | undefined)[];
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
  models: Models,
  violations: Violations,
): Promise<TrainingSpec> {
  if (spec.surrogates.length > MOST_SURROGATES) {
    violations.add('spec.surrogates', `${spec.surrogates.length} given, at most ${MOST_SURROGATES} allowed`);
    return spec;
  }
  const find = (name: string, field: string): Promise<Model | undefined> =>
    name === '' ? Promise.resolve(undefined) : found(models, name, field, violations);
  const named: Named = {
    initial: await find(spec.initialModel, 'spec.initialModel'),
    teacher: await find(spec.teacher, 'spec.teacher'),
    surrogates: await Promise.all(spec.surrogates.map((name, i) => find(name, `spec.surrogates[${i}]`))),
  };
  const plan = planOf(spec);
  // Where a model or a setting is unknown that has been said, and what follows from it would only confuse.
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

function problems(plan: Plan, { architecture }: TrainingSpec, dataset: Dataset, named: Named) {
  return problemsOf({
    plan,
    model: { architecture, input: shape(dataset.input), classes: dataset.classNames.length },
    initial: named.initial && description(named.initial),
    teacher: named.teacher && description(named.teacher),
    surrogates: named.surrogates.flatMap((model) => (model ? [description(model)] : [])),
  });
}

type Plan = Pick<TrainingPlan, 'config' | 'objective'>;

/** The configuration as far as its parts depend on each other; undefined where one of them is wrong by itself. */
function planOf({
  objective,
  objectiveSettings,
  epochs,
  batchSize,
  augmentation,
  techniques,
}: TrainingSpec): Plan | undefined {
  try {
    return planTraining({
      objective: { name: objective, settings: settingsFromText(objectiveSettings) },
      epochs,
      batchSize,
      augmentation: { cutout: augmentation?.cutout ?? 0 },
      techniques: settingsFromText(techniques),
    });
  } catch {
    return undefined;
  }
}

async function found(models: Models, name: string, field: string, violations: Violations): Promise<Model | undefined> {
  try {
    return await models.byName(name, field);
  } catch (error) {
    violations.add(field, JsigrError.from(error).message.replace(`${field}: `, ''));
    return undefined;
  }
}

function allFound({ initialModel, teacher, surrogates }: TrainingSpec, named: Named): boolean {
  const missing = (name: string, model: Model | undefined) => name !== '' && model === undefined;
  return !(
    missing(initialModel, named.initial) ||
    missing(teacher, named.teacher) ||
    surrogates.some((name, i) => missing(name, named.surrogates[i]))
  );
}

function description({ name, architecture, input, classes }: Model): NetworkDescription {
  return { id: name, architecture, input: shape(input), classes };
}

function shape([height = 0, width = 0, channels = 0]: readonly number[]) {
  return [height, width, channels] as const;
}

function fieldOf(field: string): string {
  const [prefix = '', contract = ''] = contractFields.find(([start]) => field.startsWith(start)) ?? [];
  return `${contract}${field.slice(prefix.length)}`;
}
