import {
  type AttackResult,
  type Dataset,
  type Evaluation,
  MaskingVerdict,
  type Model,
  type RobustnessReport,
  type TrainingRun,
} from '@jsigr/proto';
import {
  accessName,
  attackName,
  bytes,
  count,
  decimal,
  epochsText,
  instant,
  maskingName,
  notDone,
  proportion,
  shortName,
  stateName,
} from '../terminal/format.ts';
import { reportLine } from '../terminal/progress.ts';
import { type Column, type Paint, properties, table } from '../terminal/table.ts';
import { beyondText } from './beyond-text.ts';
import { matrixText, shortLabels } from './matrix-text.ts';

// What responses look like as text. Everything here is pure.

const right = (title: string): Column => ({ title, align: 'right' });
const left = (title: string): Column => ({ title });

export function runText(run: TrainingRun): string {
  const { spec, progress } = run;
  return properties([
    ['run', run.name],
    ['name', run.displayName],
    ['state', stateOf(run)],
    ['training', spec ? `${spec.objective} on ${networkText(spec)}, ${spec.dataset}, ${epochsText(spec.epochs)}` : ''],
    ['settings', pairs(spec?.objectiveSettings ?? {})],
    ['techniques', pairs(spec?.techniques ?? {})],
    ['began with', spec?.initialModel ?? ''],
    ['teacher', spec?.teacher ?? ''],
    ['surrogates', spec?.surrogates.join(', ') ?? ''],
    ['seed', String(spec?.seed ?? 0)],
    ['progress', progress ? `step ${count(progress.step)} of ${count(progress.totalSteps)}` : ''],
    ['created', instant(run.createTime)],
    ['started', run.startTime ? instant(run.startTime) : ''],
    ['ended', run.endTime ? instant(run.endTime) : ''],
    ['best model', run.bestModel],
    ['latest model', run.latestModel === run.bestModel ? '' : run.latestModel],
    ['last report', run.latestReport ? reportLine(run.latestReport) : ''],
    ['labels', pairs(run.labels)],
  ]);
}

export function runsText(runs: readonly TrainingRun[], paint?: Paint): string {
  if (runs.length === 0) return 'no training runs yet; `jsigr train` starts one\n';
  return table(
    [
      left('RUN'),
      left('STATE'),
      left('OBJECTIVE'),
      left('ARCHITECTURE'),
      left('DATASET'),
      left('CREATED'),
      left('BEST MODEL'),
    ],
    runs.map((run) => [
      run.name,
      stateName(run.state),
      run.spec?.objective ?? '',
      run.spec ? networkText(run.spec) : '',
      idOf(run.spec?.dataset ?? ''),
      instant(run.createTime),
      shortName(run.bestModel),
    ]),
    paint,
  );
}

export function evaluationText(evaluation: Evaluation, paint?: Paint): string {
  const { spec, report, transferMatrix } = evaluation;
  if (transferMatrix) return matrixText(evaluation, transferMatrix, shortLabels(transferMatrix), paint);
  const head = properties([
    ['evaluation', evaluation.name],
    ['state', stateOf(evaluation)],
    ['model', report ? '' : (spec?.model ?? '')],
    ['models', spec?.models.join(', ') ?? ''],
    ['created', instant(evaluation.createTime)],
  ]);
  return report ? `${head}\n${reportText(report, paint)}` : head;
}

export function evaluationsText(evaluations: readonly Evaluation[], paint?: Paint): string {
  if (evaluations.length === 0) return 'no evaluations yet; `jsigr evaluate MODEL` starts one\n';
  return table(
    [left('EVALUATION'), left('STATE'), left('MODEL'), left('CREATED'), left('CLEAN'), left('MASKING')],
    evaluations.map(({ name, state, spec, createTime, report }) => [
      name,
      stateName(state),
      spec && spec.models.length > 0 ? `${spec.models.length} models` : shortName(spec?.model ?? ''),
      instant(createTime),
      proportion(report?.cleanAccuracy),
      report ? maskingName(report.masking) : '-',
    ]),
    paint,
  );
}

/** The whole report: what was attacked and how, each attack, the worst cases, the masking verdict. */
export function reportText(report: RobustnessReport, paint?: Paint): string {
  const clean = report.cleanAccuracy;
  const head = properties([
    ['model', report.model],
    ['dataset', `${report.dataset}, part ${report.part}, ${count(clean?.trials ?? 0)} samples`],
    ['clean accuracy', proportion(clean)],
    ['surrogates', report.surrogates.map(shortName).join(', ')],
    ['seed', String(report.seed)],
  ]);
  const isCut = report.attacks.some((one) => notDone(one) !== '');
  const attacks = table(
    [
      left('ATTACK'),
      left('ACCESS'),
      right('EPSILON'),
      right('ROBUST ACCURACY'),
      right('ATTACK SUCCESS'),
      ...(isCut ? [right('NOT DONE')] : []),
      right('FORWARDS'),
      right('SECONDS'),
    ],
    report.attacks.map((one) => attackRow(one, isCut)),
    paint,
  );
  const worst = table(
    [left('WORST CASE'), right('EPSILON'), right('DIRECT'), right('TRANSFERRED')],
    report.epsilons.map(({ norm, epsilon, whiteBox, transferred }) => [
      norm,
      decimal(epsilon),
      proportion(whiteBox),
      proportion(transferred),
    ]),
    paint,
  );
  const confidence = clean
    ? `${decimal(clean.confidence * 100)} % intervals cover sampling, not the weakness of an attack`
    : '';
  const tail = properties([
    ['masking', maskingName(report.masking)],
    ...report.maskingSignals
      .filter(({ verdict }) => verdict !== MaskingVerdict.MASKING_VERDICT_NO_SIGN)
      .map(({ name, evidence }): [string, string] => [name, evidence]),
    ['intervals', confidence],
    ...report.flags.map((flag): [string, string] => ['note', flag]),
    ['again', report.command],
  ]);
  return [head, attacks, worst, ...beyondText(report, paint), tail].join('\n');
}

export function modelText(model: Model, paint?: Paint): string {
  const head = properties([
    ['model', model.name],
    ['name', model.displayName],
    ['architecture', networkText(model)],
    ['made by', model.producer],
    ['input', `${model.input.join(' x ')}, ${model.classes} classes`],
    ['dataset', model.dataset],
    ['objective', model.objective],
    ['run', model.trainingRun],
    ['trained', model.trainingRun && `${count(model.step)} steps, epoch ${model.epoch}`],
    ['metrics', model.metrics.map(({ name, value }) => `${name} ${decimal(value)}`).join(', ')],
    ['classes', model.classNames.join(', ')],
    ['black box', model.blackBox],
    ['note', model.remarks.join('; ')],
    ['created', instant(model.createTime)],
  ]);
  return `${head}\n${filesText(model.files, paint)}`;
}

export function modelsText(models: readonly Model[], paint?: Paint): string {
  if (models.length === 0) return 'no models yet; `jsigr train` makes some, `jsigr models import` takes others’\n';
  return table(
    [
      left('MODEL'),
      left('ARCHITECTURE'),
      left('OBJECTIVE'),
      left('DATASET'),
      right('EPOCH'),
      left('RUN'),
      left('CREATED'),
    ],
    models.map((model) => [
      shortName(model.name),
      model.displayName ? `${model.displayName} (${model.architecture})` : networkText(model),
      model.objective,
      idOf(model.dataset),
      String(model.epoch),
      model.trainingRun,
      instant(model.createTime),
    ]),
    paint,
  );
}

export function datasetText(dataset: Dataset, paint?: Paint): string {
  const head = properties([
    ['dataset', dataset.name],
    ['digest', dataset.digest],
    ['input', dataset.input.join(' x ')],
    ['classes', dataset.classNames.join(', ')],
    ['made', dataset.embedded ? 'by the program itself, from a seed' : instant(dataset.createTime)],
  ]);
  const parts = table(
    [left('PART'), right('IMAGES'), left('MASKS'), left('MEAN'), left('STANDARD DEVIATION')],
    dataset.parts.map((part) => [
      part.name,
      count(part.count),
      part.hasMasks ? 'yes' : 'no',
      part.mean.map(decimal).join(' '),
      part.standardDeviation.map(decimal).join(' '),
    ]),
    paint,
  );
  return `${head}\n${parts}`;
}

export function datasetsText(datasets: readonly Dataset[], paint?: Paint): string {
  return table(
    [left('DATASET'), left('INPUT'), right('CLASSES'), right('TRAIN'), right('TEST'), left('MASKS')],
    datasets.map(({ name, input, classNames, parts }) => [
      name,
      input.join(' x '),
      String(classNames.length),
      ...['train', 'test'].map((wanted) => count(parts.find((part) => part.name === wanted)?.count ?? 0)),
      parts.some(({ hasMasks }) => hasMasks) ? 'yes' : 'no',
    ]),
    paint,
  );
}

/** @param isCut a limit ended an attack of the report: a column says which */
function attackRow(one: AttackResult, isCut: boolean): string[] {
  const { access, epsilon, robustAccuracy, attackSuccess, forwards, seconds } = one;
  return [
    attackName(one),
    accessName(access),
    decimal(epsilon),
    proportion(robustAccuracy),
    proportion(attackSuccess),
    ...(isCut ? [notDone(one) || '-'] : []),
    count(forwards),
    seconds.toFixed(1),
  ];
}

function filesText(files: Model['files'], paint?: Paint): string {
  return table(
    [left('FILE'), right('SIZE'), left('SHA-256')],
    files.map(({ path, sizeBytes, sha256 }) => [path, bytes(sizeBytes), sha256]),
    paint,
  );
}

function stateOf({ state, stateReason }: { state: TrainingRun['state']; stateReason: string }): string {
  return stateReason ? `${stateName(state)}: ${stateReason}` : stateName(state);
}

/** An architecture with what differs from a plain one: `resnet20 batch gelu denoise`. */
function networkText({
  architecture,
  activation,
  norm,
  denoise,
}: Pick<Model, 'architecture' | 'activation' | 'norm' | 'denoise'>): string {
  return [architecture, norm === 'none' ? '' : norm, activation === 'relu' ? '' : activation, denoise ? 'denoise' : '']
    .filter(Boolean)
    .join(' ');
}

function pairs(entries: Readonly<Record<string, string>>): string {
  return Object.entries(entries)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ');
}

function idOf(name: string): string {
  return name.replace(/^[a-zA-Z]+\//, '');
}
