import type { Split } from '@jsigr/datasets';
import { type Engine, int32, writeSafetensors } from '@jsigr/engine';
import { type Classifier, type ImageShape, isQueried } from '@jsigr/models';
import type { Access } from './attack.ts';
import { poolOf, samplesOf } from './batches.ts';
import { sum } from './cells.ts';
import { AttackError } from './errors.ts';
import { BATCH_SIZE, checkedPlan } from './evaluation-options.ts';
import { classify, judge } from './judge.ts';
import type { NormName } from './norms.ts';
import type { PlanEntry, PlannedAttack } from './plan.ts';
import { type Proportion, proportion } from './statistics.ts';

export interface MatrixOptions {
  /** 2 to 16: each is a row (who the adversarial examples are made on) and a column (who they are shown to). */
  readonly models: readonly Classifier[];
  readonly split: Split;
  /** Which samples of the split, each once. */
  readonly indices: readonly number[];
  readonly input: ImageShape;
  readonly plan: readonly PlanEntry[];
  readonly seed: number;
  readonly batchSize?: number;
  readonly onProgress?: (progress: {
    readonly attack: string;
    readonly epsilon: number;
    readonly fraction: number;
  }) => void;
  readonly signal?: AbortSignal;
}

/** What the examples of one model do to another (or to itself). */
export interface MatrixCell {
  /** Indices in `models`. */
  readonly source: number;
  readonly target: number;
  /** Misclassified by the target, of the samples that all models classify correctly without attack: rows and columns can be compared. */
  readonly common: Proportion;
  /** The same of the samples that the target itself classifies correctly. */
  readonly own: Proportion;
}

/** One attack at one radius. */
export interface MatrixTable {
  readonly attack: string;
  readonly access: Access;
  readonly norm: NormName;
  readonly epsilon: number;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Row by row. A model that the attack cannot be made on has no row; a control looks at no model and has one, the first. */
  readonly cells: readonly MatrixCell[];
}

/** JSON-able. Only `seconds` differ from one run to the next. */
export interface TransferMatrix {
  readonly models: readonly string[];
  readonly samples: number;
  readonly seed: number;
  readonly batchSize: number;
  readonly engine: Engine['info'];
  /** Misclassified without attack, of all samples: the baseline of each column. */
  readonly cleanErrors: readonly Proportion[];
  /** Samples that all models classify correctly. */
  readonly commonSamples: number;
  readonly tables: readonly MatrixTable[];
  /** What a reader must know besides the figures, in plain words. */
  readonly flags: readonly string[];
  readonly forwards: number;
  readonly backwards: number;
  readonly seconds: number;
}

/** The classes that targets give to the examples of sources: `predictions[source][target][sample]`. */
interface Found {
  readonly planned: PlannedAttack;
  readonly epsilon: number;
  readonly predictions: readonly (readonly Int32Array[])[];
}

const MOST_MODELS = 16;

/**
 * Every model's adversarial examples on every model. A source's examples are made once, on all samples (those that it gets wrong too: others may not),
 * and shown to all targets; a target that any of an attack's restarts fools counts as fooled.
 * @returns the matrix, and as a safetensors file every model's predicted classes: `label` and `sample` `[samples]`, `clean` `[models, samples]`, and for
 * each table `table0`, `table1`, ... `[sources, targets, samples]` (-1 where an attack cannot be made on a source).
 * @throws AttackError if the plan, the models or the samples are not valid; the signal's reason once it is aborted.
 */
export async function transferMatrix(
  engine: Engine,
  options: MatrixOptions,
): Promise<{ readonly matrix: TransferMatrix; readonly predictions: Uint8Array }> {
  const { models, split, indices, seed, batchSize = BATCH_SIZE, signal } = options;
  const plan = checkMatrix(options, batchSize);
  const began = performance.now();
  const asking = { batchSize, seed, ...(signal && { signal }) };
  const clean: number[][] = [];
  for (const model of models) clean.push(await classify(engine, model, split, indices, asking));
  const labels = indices.map((sample) => split.labels[sample] ?? 0);
  const tables = plan.flatMap((planned) => planned.epsilons.map((epsilon) => ({ planned, epsilon })));
  const work = new Crafting(engine, options, batchSize, tables.length);
  const found: Found[] = [];
  for (const [at, { planned, epsilon }] of tables.entries())
    found.push({ planned, epsilon, predictions: await work.table(planned, epsilon, at) });
  const right = clean.map((row) => row.map((prediction, i) => prediction === labels[i]));
  const common = indices.map((_, i) => right.every((row) => row[i]));
  const matrix: TransferMatrix = {
    models: models.map(({ id }) => id),
    samples: indices.length,
    seed,
    batchSize,
    engine: engine.info,
    cleanErrors: right.map((row) => proportion(row.filter((isRight) => !isRight).length, indices.length)),
    commonSamples: common.filter(Boolean).length,
    tables: found.map((table) => tableOf(table, labels, right, common)),
    flags: [...flagsOf(plan, models[0]?.classes ?? 2), ...models.flatMap((model) => withoutRow(plan, model))],
    forwards: work.forwards + models.length * indices.length,
    backwards: work.backwards,
    seconds: (performance.now() - began) / 1000,
  };
  return { matrix, predictions: fileOf(indices, labels, clean, found) };
}

function checkMatrix(options: MatrixOptions, batchSize: number): PlannedAttack[] {
  const { models } = options;
  const [target, ...others] = models;
  if (!target || others.length === 0 || models.length > MOST_MODELS)
    throw new AttackError('INVALID_INPUT', 'models', `${models.length} given, 2 to ${MOST_MODELS} allowed`);
  models.forEach(({ id, input, classes }, i) => {
    if (input.join() !== options.input.join() || classes !== target.classes)
      throw new AttackError(
        'INVALID_INPUT',
        `models[${i}]`,
        `${id} takes ${input.join('x')} images and ${classes} classes, not ${options.input.join('x')} and ${target.classes}`,
      );
  });
  // Every model is looked at as itself, also by attacks that craft on surrogates elsewhere.
  const plan = checkedPlan(
    { ...options, target: models.find((model) => !isQueried(model)) ?? target, surrogates: others },
    batchSize,
  );
  return plan.map((planned) => ({ ...planned, source: 'target' }));
}

/** Attacks that need gradients cannot be made on what can only be asked. */
function canCraft({ attack, settings }: PlannedAttack, source: Classifier): boolean {
  return !isQueried(source) || attack.cost(settings, source.classes).backwards === 0;
}

function hasRow(planned: PlannedAttack, source: Classifier, row: number): boolean {
  return planned.attack.access === 'control' ? row === 0 : canCraft(planned, source);
}

/** Makes examples, and shows them around. */
class Crafting {
  forwards = 0;
  backwards = 0;
  readonly #engine: Engine;
  readonly #options: MatrixOptions;
  readonly #batchSize: number;
  readonly #tables: number;

  constructor(engine: Engine, options: MatrixOptions, batchSize: number, tables: number) {
    this.#engine = engine;
    this.#options = options;
    this.#batchSize = batchSize;
    this.#tables = tables;
  }

  /** Predictions `[source][target][sample]` under one attack at one radius. */
  async table(planned: PlannedAttack, epsilon: number, at: number): Promise<Int32Array[][]> {
    const { models, indices, onProgress } = this.#options;
    const count = indices.length;
    const predictions = models.map((source, row) =>
      hasRow(planned, source, row) ? models.map(() => new Int32Array(count)) : [],
    );
    for (const [row, source] of models.entries()) {
      if (!hasRow(planned, source, row)) continue;
      for (let from = 0; from < count; from += this.#batchSize) {
        const fraction = (at + (row + from / count) / models.length) / this.#tables;
        onProgress?.({ attack: planned.attack.name, epsilon, fraction });
        const shown = await this.#block(planned, epsilon, source, indices.slice(from, from + this.#batchSize));
        for (const [column, classes] of shown.entries()) predictions[row]?.[column]?.set(classes, from);
      }
    }
    return predictions;
  }

  /** For each target the classes of a block of samples: of the first of the attempts that fools it, else of the last. */
  async #block(
    { attack, norm, settings }: PlannedAttack,
    epsilon: number,
    source: Classifier,
    block: readonly number[],
  ): Promise<number[][]> {
    const { models, split, seed, signal } = this.#options;
    const common = { engine: this.#engine, norm, seed, batchSize: this.#batchSize };
    const samples = samplesOf(split, source.input, block);
    const epsilons = block.map(() => epsilon);
    const labels = [...samples.labels.data];
    const shown = models.map(() => [...labels]);
    const pool = poolOf(split, source.input);
    const context = { ...common, ...samples, source, members: [source], epsilons, pool, ...(signal && { signal }) };
    for (let attempt = 0; attempt < attack.attempts(settings, source.classes); attempt++) {
      signal?.throwIfAborted();
      const outcome = await attack.run({ ...context, attempts: block.map(() => attempt) }, settings);
      this.forwards += sum(outcome.forwards) + models.length * block.length;
      this.backwards += sum(outcome.backwards);
      for (const [column, target] of models.entries()) {
        const verdicts = await judge({ ...common, target }, samples, outcome.adversarial, epsilons);
        const before = shown[column] ?? [];
        shown[column] = verdicts.map(({ prediction }, i) => (before[i] === labels[i] ? prediction : (before[i] ?? 0)));
      }
    }
    return shown;
  }
}

function tableOf(
  { planned: { attack, norm, settings }, epsilon, predictions }: Found,
  labels: readonly number[],
  right: readonly (readonly boolean[])[],
  common: readonly boolean[],
): MatrixTable {
  const cells = predictions.flatMap((row, source) =>
    row.map((classes, target): MatrixCell => {
      const turned = (counts: readonly boolean[] = []) => {
        const fooled = counts.filter((isCounted, i) => isCounted && classes[i] !== labels[i]);
        return proportion(fooled.length, counts.filter(Boolean).length);
      };
      return { source, target, common: turned(common), own: turned(right[target]) };
    }),
  );
  return { attack: attack.name, access: attack.access, norm: norm.name, epsilon, settings, cells };
}

/** Attacks that stop where they have fooled their source. */
function flagsOf(plan: readonly PlannedAttack[], classes: number): string[] {
  const early = plan.filter(({ attack, settings }) => {
    const { forwards } = attack.cost(settings, classes);
    return attack.access !== 'transfer' && attack.access !== 'control' && forwards > 1 && settings.keep !== 'last';
  });
  return [...new Set(early.map(({ attack }) => attack.name))].map(
    (name) =>
      `${name} stops where it has fooled its source, and such examples transfer less than those of mi-fgsm, transfer or pgd with keep=last`,
  );
}

function withoutRow(plan: readonly PlannedAttack[], model: Classifier): string[] {
  const missing = plan.filter((planned) => !canCraft(planned, model)).map(({ attack }) => attack.name);
  if (!isQueried(model) || missing.length === 0) return [];
  return [
    `${model.id} has no row under ${[...new Set(missing)].join(', ')}, which need gradients: it is a black box, ${model.blackBox}`,
  ];
}

function fileOf(
  indices: readonly number[],
  labels: readonly number[],
  clean: readonly (readonly number[])[],
  found: readonly Found[],
): Uint8Array {
  const count = indices.length;
  const tables = found.map(({ predictions }, at) => {
    const data = new Int32Array(clean.length ** 2 * count).fill(-1);
    predictions.forEach((row, source) => {
      row.forEach((classes, target) => {
        data.set(classes, (source * clean.length + target) * count);
      });
    });
    return [`table${at}`, int32(data, [clean.length, clean.length, count])] as const;
  });
  return writeSafetensors({
    sample: int32([...indices], [count]),
    label: int32([...labels], [count]),
    clean: int32(clean.flat(), [clean.length, count]),
    ...Object.fromEntries(tables),
  });
}
