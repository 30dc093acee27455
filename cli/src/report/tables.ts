import type { EpsilonSummary, Proportion, RobustnessReport } from '@jsigr/proto';
import { accessName, attackName, decimal, maskingName, percent, proportion, shortName } from '../terminal/format.ts';
import type { Mean, ReportData, ReportedModel } from './data.ts';
import { html, type Markup } from './html.ts';

/** A table whose first column heads its rows. */
export function htmlTable(
  caption: string,
  titles: readonly string[],
  rows: readonly (readonly (Markup | string)[])[],
): Markup {
  return html`<div class="scroll"><table><caption>${caption}</caption>
<thead><tr>${titles.map((title) => html`<th scope="col">${title}</th>`)}</tr></thead>
<tbody>${rows.map(([head, ...cells]) => html`<tr><th scope="row">${head}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>\n`)}</tbody>
</table></div>`;
}

/** A table that is out of the way until it is wanted. */
export function folded(summary: string, content: Markup): Markup {
  return html`<details><summary>${summary}</summary>${content}</details>`;
}

/** The figures that count, each with its interval and the verdict on masking. */
export function summaryTable({ models, headline, maskArea }: ReportData): Markup {
  const { norm, epsilon } = headline;
  const at = `${norm} ${decimal(epsilon)}`;
  const titles = ['Model', 'Clean', `White-box, ${at}`, `Transferred, ${at}`, 'Training per epoch'];
  if (maskArea !== undefined) titles.push('Relevance in the mask');
  const rows = models.map((model) => {
    const summary = epsilonOf(model.report, norm, epsilon);
    return [
      html`<span class="key s${models.indexOf(model)}"></span>${model.label}<small>${model.meaning}</small>`,
      share(model.report.cleanAccuracy),
      share(summary?.whiteBox),
      share(summary?.transferred),
      html`<b>${model.secondsPerEpoch.toFixed(1)} s</b>`,
      ...(maskArea === undefined ? [] : [meanCell(model.relevance)]),
      html`<span class="verdict">${maskingName(model.report.masking)}</span>`,
    ];
  });
  return htmlTable(`${sampleCount(models)} test samples, 95 % intervals`, [...titles, 'Masking'], rows);
}

/** Worst cases of all models at all radii: the table of the charts over epsilon. */
export function epsilonTable(models: readonly ReportedModel[]): Markup {
  const rows = models.flatMap(({ label, report }) => [
    [label, '0', proportion(report.cleanAccuracy), proportion(report.cleanAccuracy), maskingName(report.masking)],
    ...report.epsilons.map(({ epsilon, whiteBox, transferred }) => [
      label,
      decimal(epsilon),
      proportion(whiteBox),
      proportion(transferred),
      maskingName(report.masking),
    ]),
  ]);
  return htmlTable(
    'Accuracy that is left in the worst case',
    ['Model', 'Epsilon', 'White-box', 'Transferred', 'Masking'],
    rows,
  );
}

/** What the loop reported at each checkpoint: the table of the training curves. */
export function curveTable(models: readonly ReportedModel[]): Markup {
  const rows = models.flatMap(({ label, report, curve }) =>
    curve.map(({ epoch, clean, whiteBox, transferred }) => [
      label,
      decimal(epoch),
      proportion(clean),
      proportion(whiteBox),
      proportion(transferred),
      maskingName(report.masking),
    ]),
  );
  return htmlTable(
    'Checkpoint by checkpoint',
    ['Model', 'Epoch', 'Clean', 'White-box', 'Transferred', 'Masking'],
    rows,
  );
}

/** Every attack on every model. */
export function attackTable(models: readonly ReportedModel[]): Markup {
  const rows = models.flatMap(({ label, report }) =>
    report.attacks.map((one) => [
      label,
      attackName(one),
      accessName(one.access),
      decimal(one.epsilon),
      proportion(one.robustAccuracy),
      proportion(one.attackSuccess),
      `${one.seconds.toFixed(1)} s`,
      maskingName(report.masking),
    ]),
  );
  const titles = ['Model', 'Attack', 'Access', 'Epsilon', 'Robust accuracy', 'Attack success', 'Time', 'Masking'];
  return htmlTable('Every attack', titles, rows);
}

/** Runs, models and settings, so that each figure can be traced. */
export function modelTable(models: readonly ReportedModel[]): Markup {
  const rows = models.map(({ label, architecture, run, model, epochs, settings, report }) => [
    label,
    architecture,
    `${epochs}`,
    settingsText(settings),
    run,
    shortName(model),
    report.surrogates.map(shortName).join(', ') || '-',
  ]);
  return htmlTable(
    'Models',
    ['Model', 'Architecture', 'Epochs', 'Settings', 'Run', 'Best checkpoint', 'Surrogates'],
    rows,
  );
}

export function epsilonOf(report: RobustnessReport, norm: string, epsilon: number): EpsilonSummary | undefined {
  return report.epsilons.find((one) => one.norm === norm && Math.abs(one.epsilon - epsilon) < 1e-6);
}

function settingsText(settings: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  return pairs.join(', ') || 'defaults';
}

function share(value: Proportion | undefined): Markup {
  if (!value || value.trials === 0) return html`-`;
  return html`<b>${percent(value.value)}</b><small>[${(value.lower * 100).toFixed(1)}, ${(value.upper * 100).toFixed(1)}]</small>`;
}

function meanCell(value: Mean | undefined): Markup {
  if (!value) return html`-`;
  return html`<b>${percent(value.mean)}</b><small>[${(value.lower * 100).toFixed(1)}, ${(value.upper * 100).toFixed(1)}]</small>`;
}

function sampleCount(models: readonly ReportedModel[]): string {
  const counts = [...new Set(models.map(({ report }) => report.cleanAccuracy?.trials ?? 0))];
  return counts.map((trials) => trials.toLocaleString('en-US')).join(' or ');
}
