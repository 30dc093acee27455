import type { Evaluation, Proportion, TransferMatrix } from '@jsigr/proto';
import { rowsOf, type Share, shareWords } from '../commands/matrix-text.ts';
import { attackName, count, decimal, instant, percent } from '../terminal/format.ts';
import { html, type Markup } from './html.ts';
import { page } from './page.ts';

/** What the page of a transfer matrix shows. */
export interface MatrixPage {
  readonly evaluation: Evaluation;
  readonly matrix: TransferMatrix;
  /** What each model is called. */
  readonly labels: readonly string[];
  readonly createTime: Date;
  readonly version: string;
}

/** A transfer matrix for people: heat maps, one for each attack and radius. */
export function renderMatrix({ evaluation, matrix, labels, createTime, version }: MatrixPage): string {
  const { tables, commonSamples, samples, flags } = matrix;
  return page({
    title: 'transfer matrix',
    heading: 'Whose adversarial examples fool whom?',
    createTime,
    content: html`<section>
<p class="lead">${labels.length} models, ${count(samples)} images, ${count(commonSamples)} of which all models classify correctly. A row is the model that adversarial examples were made on, a column the model that they were shown to; the redder, the more it gets wrong.</p>
<p class="warn"><b>masking: not assessed.</b> A row that fools nobody, its own model included, may have been made on useless gradients.</p>
${flags.length > 0 && html`<ul>${flags.map((flag) => html`<li>${flag}</li>`)}</ul>`}
</section>
${tables.map(
  (table) => html`<section><h2>${attackName(table)}, epsilon ${decimal(table.epsilon)}</h2>
${(['common', 'own'] as const).map((share) => heatMap(matrix, table, share, labels))}
</section>`,
)}
${origin(evaluation, matrix, version)}
<section><h2>How to read it</h2>
<ul>
<li>Figures are the share that the column’s model gets wrong, with 95 % intervals: they cover the choice of samples, not the weakness of the attack.</li>
<li>On the diagonal a model is attacked by its own gradients. What it withstands there but not from other rows speaks for masked gradients.</li>
<li>The first row is the error without attack, of all images: what no attack is to be credited with.</li>
</ul>
</section>`,
  });
}

function heatMap(
  matrix: TransferMatrix,
  table: TransferMatrix['tables'][number],
  share: Share,
  labels: readonly string[],
): Markup {
  const heads = labels.map((label) => html`<th scope="col">${label}</th>`);
  const clean = matrix.cleanErrors.map(cell);
  const rows = rowsOf(table, share, labels).map(
    ({ label, shares }) => html`<tr><th scope="row">${label}</th>${shares.map(cell)}</tr>`,
  );
  return html`<div class="scroll"><table class="heat"><caption>Misclassified, ${shareWords(share, matrix)}</caption>
<thead><tr><th scope="col">made on</th>${heads}</tr></thead>
<tbody><tr><th scope="row">no attack<small>of all samples</small></th>${clean}</tr>${rows}</tbody></table></div>`;
}

/** From the page's own colour to a full red; the figure is readable on both. */
function cell(share: Proportion | undefined): Markup {
  if (!share || share.trials === 0) return html`<td>-</td>`;
  const shade = `background: rgb(200 50 40 / ${(share.value * 0.75).toFixed(3)})`;
  return html`<td style="${shade}"><b>${percent(share.value)}</b><small>[${(share.lower * 100).toFixed(1)}, ${(share.upper * 100).toFixed(1)}]</small></td>`;
}

function origin(evaluation: Evaluation, matrix: TransferMatrix, version: string): Markup {
  const { command, models, dataset, part, seed, ledger, forwards, backwards, seconds } = matrix;
  const facts: (readonly [string, string | Markup])[] = [
    ['Made again by', html`<code>${command}</code>`],
    ['Models', models.join(', ')],
    ['Data', `${dataset}, part ${part}`],
    ['Seed', String(seed)],
    ['Evaluation', `${evaluation.name}, ended ${instant(evaluation.endTime)} UTC`],
    ['Cost', `${count(forwards)} forward and ${count(backwards)} backward passes, ${seconds.toFixed(1)} s`],
    ['Ledger', ledger ? `${ledger}: what every model says of every example` : 'none was kept'],
    ['Version', `jsigr ${version}`],
  ];
  return html`<section><h2>How it was made</h2>
<dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
</section>`;
}
