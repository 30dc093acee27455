import type { EpsilonSummary, Proportion } from '@jsigr/proto';
import { decimal, maskingName, percent, shortName } from '../terminal/format.ts';
import type { CheckpointFigures, ReportData, ReportedModel } from './data.ts';
import { html, type Markup } from './html.ts';
import { type ChartPoint, type ChartSeries, lineChart } from './line-chart.ts';
import { page } from './page.ts';
import { attackTable, curveTable, epsilonTable, folded, modelTable, summaryTable } from './tables.ts';
import { tileGrid } from './tiles.ts';

type Kind = 'whiteBox' | 'transferred';

const KIND_TITLES: Readonly<Record<Kind, string>> = {
  whiteBox: 'White-box attacks',
  transferred: 'Transferred attacks',
};

/** One HTML file that needs nothing else: styles, charts and pictures are inside. Everything that comes from `data` is escaped. */
export function renderReport(data: ReportData): string {
  return page({
    title: `robustness on ${idOf(data.dataset)}`,
    heading: 'How much is left under attack?',
    createTime: data.createTime,
    content: html`${introduction(data)}
${howItWasMade(data)}
${summary(data)}
${curves(data)}
${overEpsilon(data)}
${grids(data)}
${reading(data)}`,
  });
}

function introduction({ models, dataset }: ReportData): Markup {
  const names = models.map(({ label }) => label);
  const list = names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` : names.join('');
  return html`<p class="lead">${models.length} classifiers of one architecture were trained on ${idOf(dataset)} (${list}) while an attacker
followed every checkpoint. This report says how many test images each still classifies correctly when somebody perturbs them, and which pixels its answers rest on.</p>`;
}

function howItWasMade({ command, seed, facts, models }: ReportData): Markup {
  const entries: (readonly [string, string | Markup])[] = [
    ['Made again by', html`<code>${command}</code>`],
    ['Seed', String(seed)],
    ...facts,
  ];
  return html`<section><h2>How it was made</h2>
<dl>${entries.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
${folded('Models, settings and surrogates', modelTable(models))}
</section>`;
}

function summary(data: ReportData): Markup {
  const verdicts = [...new Set(data.models.map(({ report }) => maskingName(report.masking)))].join(', ');
  return html`<section><h2>What is left</h2>
<p class="warn"><b>masking: ${verdicts}.</b> ${verdicts === 'not assessed' ? 'Nobody checked whether gradients are masked here; a model whose gradients are useless to an attacker looks robust without being it.' : ''}</p>
${summaryTable(data)}
<p class="soft">White-box attacks use the model’s own gradients; transferred examples were crafted on other models. Each figure is the worst case over all attacks of its kind, at one radius.${relevanceNote(data)}</p>
${folded('Every attack, every radius', attackTable(data.models))}
</section>`;
}

function relevanceNote({ maskArea, method }: ReportData): string {
  if (maskArea === undefined) return '';
  return ` Relevance in the mask is the share of the absolute ${method} map that lies on the pixels which make the class; a map that says nothing would have ${percent(maskArea)}, the masks’ share of the image.`;
}

function curves({ models, loop }: ReportData): Markup {
  const at = `${loop.norm} ${decimal(loop.epsilon)}`;
  return html`<section><h2>While they trained</h2>
<p>The attacker of the loop attacked each checkpoint that it could keep up with, at ${at}, on ${loop.samples} held-out samples of the training set. Bands are 95 % intervals.</p>
${chartPair((kind) => ({
  title: `${KIND_TITLES[kind]}, ${at}`,
  xLabel: 'epoch',
  series: models.map((model, slot) => ({ name: model.label, slot, points: curvePoints(model.curve, kind) })),
}))}
${folded('Table of these charts', curveTable(models))}
</section>`;
}

function overEpsilon({ models }: ReportData): Markup {
  return html`<section><h2>The further one may go, the less is left</h2>
<p>Accuracy on the test part over the radius of the perturbation, in units of the [0,1] pixel range. Radius 0 is the clean accuracy.</p>
${chartPair((kind) => ({
  title: KIND_TITLES[kind],
  xLabel: 'epsilon',
  series: models.map((model, slot) => ({ name: model.label, slot, points: epsilonPoints(model, kind) })),
}))}
${folded('Table of these charts', epsilonTable(models))}
</section>`;
}

function chartPair(chartOf: (kind: Kind) => { title: string; xLabel: string; series: ChartSeries[] }): Markup {
  const charts = (['whiteBox', 'transferred'] as const).map(chartOf);
  return html`<div class="pair">${charts
    .filter(({ series }) => series.some(({ points }) => points.length > 0))
    .map((chart) => html`<figure class="card"><h3>${chart.title}</h3>${lineChart(chart)}</figure>`)}</div>`;
}

function curvePoints(curve: readonly CheckpointFigures[], kind: Kind): ChartPoint[] {
  return curve.flatMap((point) => pointAt(point.epoch, point[kind]));
}

function epsilonPoints({ report }: ReportedModel, kind: Kind): ChartPoint[] {
  const attacked = report.epsilons.flatMap((one: EpsilonSummary) => pointAt(one.epsilon, one[kind]));
  return attacked.length === 0 ? [] : [...pointAt(0, report.cleanAccuracy), ...attacked].sort((a, b) => a.x - b.x);
}

function pointAt(x: number, share: Proportion | undefined): ChartPoint[] {
  return share ? [{ x, y: share.value, lower: share.lower, upper: share.upper }] : [];
}

function grids({ samples, methods, method }: ReportData): Markup | undefined {
  if (samples.length === 0) return undefined;
  return html`<section><h2>What the answers rest on</h2>
<p>Saliency maps (${method}) of the same image before and after an attack. Red pixels speak for the predicted class, blue ones against it, each map by its own largest value; the line is the outline of what truly makes the class. Ticks and crosses say whether the prediction is right.</p>
<div class="pair">${samples.map(tileGrid)}</div>
${methods.length > 0 && html`<h3 style="margin-top:1.5rem">One image, several methods</h3><div class="pair">${methods.map(tileGrid)}</div>`}
</section>`;
}

function reading({ models }: ReportData): Markup {
  const [first] = models;
  const surrogates = first?.report.surrogates.map(shortName).join(', ') ?? '';
  return html`<section><h2>What these figures say, and what they do not</h2>
<ul>
<li>They say what is left against <em>these</em> attacks with <em>these</em> budgets. A stronger attack can only leave less: read each figure as an upper bound.</li>
<li>The intervals cover the choice of samples, not the weakness of the attacks, not the luck of one training seed.</li>
<li>No verdict on gradient masking stands behind them. Regularisers of input gradients are known to mask; white-box figures alone must not be believed.</li>
<li>Transferred examples were crafted on ${surrogates || 'surrogates'}; other surrogates transfer more or less.</li>
<li>The best checkpoint of each model was chosen on held-out training samples; the test part was looked at once, for the tables above.</li>
<li>The dataset is small and drawn by the program: it shows how things are measured, not how large models behave on photographs.</li>
</ul>
</section>`;
}

function idOf(dataset: string): string {
  return dataset.replace(/^datasets\//, '');
}
