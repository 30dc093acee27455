import type { KeptAdversarial } from '@jsigr/attacks';
import { AttackAccess, type Evaluation, MaskingVerdict, type Proportion, type RobustnessReport } from '@jsigr/proto';
import {
  accessName,
  attackName,
  count,
  decimal,
  instant,
  maskingName,
  notDone,
  proportion,
  shortName,
} from '../terminal/format.ts';
import { certifiedSection, smallestSection } from './beyond-sections.ts';
import type { TileGrid } from './data.ts';
import { html, type Markup } from './html.ts';
import { type ChartPoint, type ChartSeries, lineChart } from './line-chart.ts';
import { page } from './page.ts';
import { imagePicture } from './pictures.ts';
import { htmlTable } from './tables.ts';
import { tileGrid } from './tiles.ts';

/** What the page of one evaluation shows. */
export interface EvaluationPage {
  readonly evaluation: Evaluation;
  readonly report: RobustnessReport;
  /** What the model is, in a few words: its architecture, or the name that it was imported under. */
  readonly model: string;
  readonly classNames: readonly string[];
  /** The nearest first, each sample once; empty where no attack succeeded. */
  readonly nearest: readonly KeptAdversarial[];
  /** [height, width, channels] of their images. */
  readonly input: readonly number[];
  readonly createTime: Date;
  readonly version: string;
}

/** An evaluation for people: verdict, curves, every attack, the nearest misses, what it cost, how to make it again. */
export function renderEvaluation(data: EvaluationPage): string {
  const { report, model, createTime } = data;
  return page({
    title: `${model} under attack`,
    heading: `How much of ${model} is left under attack?`,
    createTime,
    content: html`${verdict(data)}
${curves(report)}
${attacks(report)}
${smallestSection(report)}
${certifiedSection(report)}
${gallery(data)}
${cost(report)}
${origin(data)}
${reading(report)}`,
  });
}

const MASKING_WORDS: Readonly<Partial<Record<MaskingVerdict, string>>> = {
  [MaskingVerdict.MASKING_VERDICT_NO_SIGN]:
    'The looks that were taken found nothing, which is no proof that nothing is there.',
  [MaskingVerdict.MASKING_VERDICT_SUSPECTED]:
    'Something looks as if gradients were masked: the figures may be too high. Read the evidence below.',
  [MaskingVerdict.MASKING_VERDICT_EVIDENT]:
    'Gradients are masked: figures of attacks that need them say nothing about this model.',
};

const NOBODY_LOOKED =
  'Nobody checked whether gradients are masked here; a model whose gradients are useless to an attacker looks robust without being it. --assess-masking looks.';

function verdict({ report }: EvaluationPage): Markup {
  const { cleanAccuracy, masking, maskingSignals, flags, part } = report;
  const signs = maskingSignals.filter(({ verdict: found }) => found !== MaskingVerdict.MASKING_VERDICT_NO_SIGN);
  return html`<section>
<p class="lead">${sentences(report)} Without attack it is ${proportion(cleanAccuracy)} of ${count(cleanAccuracy?.trials ?? 0)} images (${part}).</p>
<p class="warn"><b>masking: ${maskingName(masking)}.</b> ${MASKING_WORDS[masking] ?? NOBODY_LOOKED}</p>
${signs.length > 0 && html`<ul>${signs.map(({ name, verdict: found, evidence }) => html`<li><b>${name}</b> (${maskingName(found)}): ${evidence}</li>`)}</ul>`}
${flags.length > 0 && html`<ul>${flags.map((flag) => html`<li>${flag}</li>`)}</ul>`}
</section>`;
}

/** For each norm, at its largest radius. */
function sentences({ epsilons }: RobustnessReport): string {
  const largest = new Map(epsilons.map((one) => [one.norm, one]));
  if (largest.size === 0) return 'Only noise was tried, which is no attack.';
  return [...largest.values()]
    .flatMap(({ norm, epsilon, whiteBox, transferred }) => {
      const at = `${norm} ${decimal(epsilon)}`;
      return [
        whiteBox && `At ${at} at most ${proportion(whiteBox)} stay right when the model itself is attacked.`,
        transferred && `At ${at} at most ${proportion(transferred)} stay right under transferred examples.`,
      ];
    })
    .filter(Boolean)
    .join(' ');
}

function curves(report: RobustnessReport): Markup | false {
  const norms = [...new Set(report.attacks.map(({ norm }) => norm))];
  if (norms.length === 0) return false;
  return html`<section><h2>The further one may go, the less is left</h2>
<p>Share of all images that are still classified correctly, with its 95 % interval; the worst over all attacks on the model itself (direct), over all that were crafted on surrogates (transfer), and under noise, the control. Radius 0 is the clean accuracy.</p>
<div class="pair">${norms.map((norm) => html`<figure class="card"><h3>${norm}</h3>${lineChart({ title: `Accuracy over epsilon, ${norm}`, xLabel: 'epsilon', series: seriesOf(report, norm) })}</figure>`)}</div>
</section>`;
}

function seriesOf({ attacks: all, epsilons, cleanAccuracy }: RobustnessReport, norm: string): ChartSeries[] {
  const summaries = epsilons.filter((one) => one.norm === norm);
  const controls = all.filter((one) => one.norm === norm && one.access === AttackAccess.ATTACK_ACCESS_CONTROL);
  const noise = [...new Set(controls.map(({ epsilon }) => epsilon))].map((epsilon) => {
    const shares = controls.flatMap((one) =>
      one.epsilon === epsilon && one.robustAccuracy ? [one.robustAccuracy] : [],
    );
    return { epsilon, share: shares.reduce((worst, one) => (one.value < worst.value ? one : worst)) };
  });
  const lines: [string, readonly { readonly epsilon: number; readonly share: Proportion | undefined }[]][] = [
    ['noise', noise],
    ['transfer', summaries.map(({ epsilon, transferred }) => ({ epsilon, share: transferred }))],
    ['direct', summaries.map(({ epsilon, whiteBox }) => ({ epsilon, share: whiteBox }))],
  ];
  return lines.flatMap(([name, points], slot) => {
    const attacked = points.flatMap(({ epsilon, share }) => pointAt(epsilon, share));
    if (attacked.length === 0) return [];
    const all = [...pointAt(0, cleanAccuracy), ...attacked.filter(({ x }) => x > 0)];
    return [{ name, slot, points: all.sort((a, b) => a.x - b.x) }];
  });
}

function pointAt(x: number, share: Proportion | undefined): ChartPoint[] {
  return share ? [{ x, y: share.value, lower: share.lower, upper: share.upper }] : [];
}

function attacks({ attacks: all, masking }: RobustnessReport): Markup {
  const isCut = all.some((one) => notDone(one) !== '');
  const rows = all.map((one) => [
    attackName(one),
    accessName(one.access),
    decimal(one.epsilon),
    proportion(one.robustAccuracy),
    proportion(one.attackSuccess),
    count(one.attempts),
    ...(isCut ? [notDone(one) || '-'] : []),
    maskingName(masking),
  ]);
  const titles = ['Attack', 'Access', 'Epsilon', 'Robust accuracy', 'Attack success', 'Attempts'];
  titles.push(...(isCut ? ['Not done'] : []), 'Masking');
  return html`<section><h2>Every attack</h2>
<p>Robust accuracy is the share of all images that stay right; attack success the share of those that the attack met (the model had them right) and turned.</p>
${isCut && html`<p class="warn">A limit of the plan was reached: some attacks stopped early on samples that still stood, or never met them. Those count as robust, so that robust accuracy is an upper bound of what the whole plan leaves.</p>`}
${htmlTable('95 % intervals: they cover the choice of samples, not the weakness of an attack', titles, rows)}
</section>`;
}

function gallery({ nearest, input, classNames }: EvaluationPage): Markup | false {
  if (nearest.length === 0) return false;
  const nameOf = (label: number) => classNames[label] ?? `class ${label}`;
  return html`<section><h2>The nearest misses</h2>
<p>The images whose prediction turned at the smallest perturbation, each once: as it is, the perturbation (grey is none), and what the model saw.</p>
<div class="pair">${nearest.map((one) => tileGrid(missGrid(one, input, nameOf)))}</div>
</section>`;
}

function missGrid(one: KeptAdversarial, input: readonly number[], nameOf: (label: number) => string): TileGrid {
  const original = Float32Array.from(one.original, (level) => level / 255);
  const delta = one.image.map((value, i) => value - (original[i] ?? 0));
  const largest = delta.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const factor = Math.max(1, Math.floor(0.5 / Math.max(largest, 1e-6)));
  const shifted = delta.map((value) => 0.5 + factor * value);
  const again = one.predictedRounded === one.label ? 'right again' : `still ${nameOf(one.predictedRounded)}`;
  const title = `Sample ${one.sample}: ${attackName(one)}, distance ${decimal(one.distance)}`;
  const tile = (values: Float32Array, caption: string, correct?: boolean) => ({
    picture: imagePicture(values, input),
    alt: `${title}: ${caption}`,
    caption,
    ...(correct !== undefined && { correct }),
  });
  const tiles = [
    tile(original, nameOf(one.label), true),
    tile(shifted, `amplified ${factor} times`),
    tile(one.image, `${nameOf(one.predicted)}; in 8 bits ${again}`, false),
  ];
  return { title, columns: ['as it is', 'perturbation', 'attacked'], rows: [{ label: '', tiles }] };
}

function cost({ attacks: all, seconds, smallestEpsilons, certifiedAccuracy }: RobustnessReport): Markup {
  const sum = (of: (one: RobustnessReport['attacks'][number]) => number) =>
    all.reduce((total, one) => total + of(one), 0);
  const rows = [
    ...all.map((one) => [
      `${attackName(one)} ${decimal(one.epsilon)}`,
      count(one.forwards),
      count(one.backwards),
      one.seconds.toFixed(1),
    ]),
    [
      'all attacks',
      count(sum(({ forwards }) => forwards)),
      count(sum(({ backwards }) => backwards)),
      seconds.toFixed(1),
    ],
    ...smallestEpsilons.map((one) => [
      `${attackName(one)}, smallest radii`,
      count(one.forwards),
      count(one.backwards),
      one.seconds.toFixed(1),
    ]),
    ...(certifiedAccuracy
      ? [['certificates', count(certifiedAccuracy.forwards), '0', certifiedAccuracy.seconds.toFixed(1)]]
      : []),
  ];
  return html`<section><h2>What it cost</h2>
${htmlTable('Passes through the models, in images', ['Attack', 'Forward passes', 'Backward passes', 'Seconds'], rows)}
</section>`;
}

function origin({ evaluation, report, version }: EvaluationPage): Markup {
  const { command, model, dataset, part, seed, surrogates, ledger } = report;
  const facts: (readonly [string, string | Markup])[] = [
    ['Made again by', html`<code>${command}</code>`],
    ['Model', model],
    ['Data', `${dataset}, part ${part}`],
    ['Surrogates', surrogates.map(shortName).join(', ') || 'none'],
    ['Seed', String(seed)],
    ['Evaluation', `${evaluation.name}, ended ${instant(evaluation.endTime)} UTC`],
    ['Ledger', ledger ? `${ledger}: a row for each attempt` : 'none was kept'],
    ['Version', `jsigr ${version}`],
  ];
  return html`<section><h2>How it was made</h2>
<dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
</section>`;
}

function reading({ surrogates }: RobustnessReport): Markup {
  return html`<section><h2>What these figures say, and what they do not</h2>
<ul>
<li>They say what is left against <em>these</em> attacks with <em>these</em> budgets. A stronger attack can only leave less: read each figure as an upper bound.</li>
<li>The intervals cover the choice of samples, not the weakness of the attacks.</li>
${surrogates.length > 0 && html`<li>Transferred examples were crafted on ${surrogates.map(shortName).join(', ')}; other surrogates transfer more or less.</li>`}
<li>A distance is that of the image that an attack found; a nearer one may exist.</li>
</ul>
</section>`;
}
