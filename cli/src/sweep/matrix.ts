import { createHash } from 'node:crypto';
import { TrainingSpec } from '@jsigr/proto';
import { invalidArgument } from '@jsigr/service/client';
import { resource } from '../options.ts';
import { checkLike, isObject, type Json, type JsonObject, NUMBER, SETTINGS, WHOLE } from './like.ts';

/** One run of a sweep. */
export interface SweepRun {
  /** What sets it apart, axis by axis: `jsigr`, `lenet`, `1`. */
  readonly values: readonly string[];
  readonly spec: TrainingSpec;
  /** The same for runs that differ in nothing but their seed. */
  readonly recipe: string;
  /** The same for the same spec: a sweep that is run again finds its runs. */
  readonly requestId: string;
}

export interface Sweep {
  /** Names of the axes of the matrix. */
  readonly axes: readonly string[];
  readonly runs: readonly SweepRun[];
}

const MOST_RUNS = 500;

/**
 * Every combination of the axes' values, in the order of the file, the last axis fastest. An axis is a field of the run (`seed`,
 * `objectiveSettings.jacobianWeight`); a value that is a mapping is merged into the run instead, so that what belongs together changes together.
 * @param training the run that they share, with the contract's names
 * @throws JsigrError INVALID_ARGUMENT naming the field of the file
 */
export function expandMatrix(training: JsonObject, matrix: JsonObject): Sweep {
  // Before they are merged, which hides what is of another type.
  checkLike(training, EXAMPLE, 'training');
  const axes = Object.entries(matrix).map(([name, given]) => {
    const values = valuesOf(name, given);
    for (const value of values) checkLike(changeOf(name, value), EXAMPLE, 'training');
    return { name, values, labels: labelsOf(values, name) };
  });
  const count = axes.reduce((product, { values }) => product * values.length, 1);
  if (count > MOST_RUNS) throw invalidArgument('matrix', `${count} combinations, at most ${MOST_RUNS} allowed`);
  const combinations = axes.reduce<{ spec: JsonObject; values: readonly string[] }[]>(
    (found, { name, values, labels }) =>
      found.flatMap(({ spec, values: before }) =>
        values.map((value, i) => ({ spec: withValue(spec, name, value), values: [...before, labels[i] ?? ''] })),
      ),
    [{ spec: training, values: [] }],
  );
  const runs = combinations.map(({ spec, values }) => runOf(spec, values));
  refuseRepeated(runs);
  return { axes: axes.map(({ name }) => name), runs };
}

/** What stands twice would be one run, and count as two. */
function refuseRepeated(runs: readonly SweepRun[]): void {
  const known = new Map<string, SweepRun>();
  for (const run of runs) {
    const before = known.get(run.requestId);
    if (before) {
      const [one, other] = [before, run].map(({ values }) => values.join(', '));
      throw invalidArgument('matrix', `has the same run twice: ${one} and ${other}`);
    }
    known.set(run.requestId, run);
  }
}

function valuesOf(name: string, values: Json): readonly Json[] {
  if (Array.isArray(values) && values.length > 0) return values;
  throw invalidArgument(`matrix.${name}`, 'must be a list of at least one value');
}

function withValue(spec: JsonObject, name: string, value: Json): JsonObject {
  return merged(spec, changeOf(name, value));
}

/** What a value of an axis changes. */
function changeOf(name: string, value: Json): JsonObject {
  if (!isObject(value)) return nested(name.split('.'), value);
  const { label: _, ...change } = value;
  return change;
}

/** `a.b` and 1 as `{ a: { b: 1 } }`. */
function nested([head = '', ...rest]: readonly string[], value: Json): JsonObject {
  return { [head]: rest.length > 0 ? nested(rest, value) : value };
}

function merged(base: JsonObject, change: JsonObject): JsonObject {
  const both = { ...base };
  for (const [name, value] of Object.entries(change)) {
    const before = both[name];
    both[name] = isObject(before) && isObject(value) ? merged(before, value) : value;
  }
  return both;
}

/** What the values of an axis are called: those of the same name also by what sets them apart. */
function labelsOf(values: readonly Json[], axis: string): string[] {
  const labels = values.map((value) => labelOf(value, axis));
  return values.map((value, i) => {
    const alike = values.filter((_, j) => labels[j] === labels[i]).map(fieldsOf);
    const own = fieldsOf(value).filter((field) => !alike.every((fields) => fields.includes(field)));
    return [labels[i], ...own].join(' ');
  });
}

/** The fields of a mapping as `gradientWeight=5`, those within others by dots. */
function fieldsOf(value: Json): string[] {
  if (!isObject(value)) return [];
  const { label: _, ...fields } = value;
  return Object.entries(fields).flatMap(([name, field]) => {
    if (!isObject(field)) return [`${name}=${typeof field === 'string' ? field : JSON.stringify(field)}`];
    const within = fieldsOf(field);
    return name === 'objectiveSettings' ? within : within.map((each) => `${name}.${each}`);
  });
}

/** What a value is called in tables: its `label`, the value of its own axis in it, or all of it. */
function labelOf(value: Json, axis: string): string {
  if (!isObject(value)) return String(value);
  const { label, [axis]: own } = value;
  return String(label ?? own ?? JSON.stringify(value));
}

function runOf(given: JsonObject, values: readonly string[]): SweepRun {
  const spec = specOf(given);
  const text = JSON.stringify(TrainingSpec.toJSON(spec));
  const recipe = JSON.stringify(TrainingSpec.toJSON({ ...spec, seed: 0 }));
  return { values, spec, recipe, requestId: `sweep-${createHash('sha256').update(text).digest('hex').slice(0, 32)}` };
}

function specOf(given: JsonObject): TrainingSpec {
  const texts = (settings: Json | undefined) =>
    Object.fromEntries(
      Object.entries(isObject(settings) ? settings : {}).map(([name, value]) => [name, String(value)]),
    );
  return TrainingSpec.fromJSON({
    ...given,
    dataset: resource('datasets', String(given.dataset ?? '')),
    objectiveSettings: texts(given.objectiveSettings),
    techniques: texts(given.techniques),
  });
}

/** A run that has everything a sweep may change; the attacker of the loop is not part of it. */
const EXAMPLE = {
  dataset: 'd',
  architecture: 'a',
  activation: 'a',
  norm: 'n',
  denoise: true,
  objective: 'o',
  objectiveSettings: SETTINGS,
  optimizer: { name: 'n', learningRate: NUMBER, momentum: NUMBER, weightDecay: NUMBER, schedule: 's' },
  epochs: WHOLE,
  batchSize: WHOLE,
  seed: WHOLE,
  checkpointEveryEpochs: WHOLE,
  augmentation: { cropPadding: WHOLE, flip: true, noise: NUMBER, cutout: WHOLE },
  techniques: SETTINGS,
  teacher: 't',
  surrogates: ['s'],
  initialModel: 'm',
} satisfies Partial<Record<keyof TrainingSpec, Json>>;
