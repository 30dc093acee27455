import type { Proportion, RobustnessReport } from '@jsigr/proto';
import type { Study } from './studies.ts';
import type { StudyFigures } from './study.ts';

export interface StudyResult extends StudyFigures {
  readonly machine: string;
  /** Seconds an epoch, by label. */
  readonly seconds: Readonly<Record<string, number>>;
}

/** Results of which some rows were made again: the new rows replace the old ones, in the order of the study. */
export function mergeResults(study: Study, before: StudyResult | undefined, now: StudyResult): StudyResult {
  const rows = study.models.flatMap(
    ({ label }) => [...now.rows, ...(before?.rows ?? [])].find((row) => row.label === label) ?? [],
  );
  return {
    machine: now.machine,
    seconds: { ...before?.seconds, ...now.seconds },
    rows,
    loop: now.loop.length > 0 ? now.loop : (before?.loop ?? []),
  };
}

/** The results of a study as a page of Markdown. */
export function resultsPage(name: string, study: Study, { rows, loop, machine, seconds }: StudyResult): string {
  const { epsilons, pgdSteps } = study.evaluation;
  const header = [
    'model',
    'clean',
    ...epsilons.map((e) => `transferred ${e}`),
    ...epsilons.map((e) => `white-box ${e}`),
    's / epoch',
    'masking',
  ];
  const body = rows.map(({ label, report }) => [
    label,
    percent(report.cleanAccuracy),
    ...epsilons.map((epsilon) => percent(summary(report, epsilon)?.transferred)),
    ...epsilons.map((epsilon) => percent(summary(report, epsilon)?.whiteBox)),
    (seconds[label] ?? Number.NaN).toFixed(1),
    'not assessed',
  ]);
  const curve = loop.map((report) => [
    String(report.epoch),
    percent(report.cleanAccuracy),
    ...epsilons.map((epsilon) => percent(summary(report, epsilon)?.transferred)),
    ...epsilons.map((epsilon) => percent(summary(report, epsilon)?.whiteBox)),
  ]);
  const trials = rows[0]?.report.cleanAccuracy?.trials ?? 0;
  const command = `npm run results -- ${name}${study.format ? ' DIRECTORY' : ''}`;
  return `# ${study.dataset}: ${study.architecture}, ${study.epochs} epochs

Made by \`${command}\` (bench/studies.ts has every setting); raw figures in [${name}.json](${name}.json). Machine: ${machine}.

Accuracy in percent on ${trials} test samples with 95 % Wilson intervals (they cover sampling, not the weakness of an attack). **masking: not assessed**: white-box
figures of gradient regularisers may be too good.

- transferred: MI-FGSM (10 steps, decay 1) on the mean logits of ${study.surrogates.join(' and ')}, standard models trained like the others
- white-box: the worst of FGSM and PGD-${pgdSteps} (cross-entropy, one random start)
- Adam ${study.learningRate}, ${study.schedule}, batch ${study.batchSize}, seed ${study.seed}; the last checkpoint; settings were chosen on the held-out part of the training set
- s / epoch: wall time with the loop off, the refreshing of masks included

${markdown(header, body)}
## Settings

${markdown(
  ['model', 'objective', 'settings', 'noise on the images', 'checkpoint'],
  study.models.map(({ label, objective, settings, noise = 0 }) => [
    label,
    objective,
    Object.entries(settings)
      .map(([key, value]) => `${key}=${value}`)
      .join(' ') || 'defaults',
    String(noise),
    (rows.find((row) => row.label === label)?.model ?? '').slice(0, 'models/'.length + 12),
  ]),
)}
## ${study.loop.label} with the loop on

Each checkpoint was attacked while training went on (${study.loop.samples} held-out samples, PGD-10 and MI-FGSM).

${markdown(['epoch', 'clean', ...epsilons.map((e) => `transferred ${e}`), ...epsilons.map((e) => `white-box ${e}`)], curve)}`;
}

function summary(report: RobustnessReport, epsilon: number) {
  return report.epsilons.find((entry) => entry.epsilon === epsilon);
}

function percent(share: Proportion | undefined): string {
  if (!share) return '-';
  const [value, lower, upper] = [share.value, share.lower, share.upper].map((x) => (100 * x).toFixed(1));
  return `${value} [${lower}, ${upper}]`;
}

function markdown(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  return line(header) + line(header.map(() => '---')) + rows.map(line).join('');
}
