import { html, type Markup } from './html.ts';

/** A value with the ends of its interval; shares, in [0,1]. */
export interface ChartPoint {
  readonly x: number;
  readonly y: number;
  readonly lower: number;
  readonly upper: number;
}

export interface ChartSeries {
  readonly name: string;
  /** Which colour, dash and marker: the same number is the same model in every chart. */
  readonly slot: number;
  readonly points: readonly ChartPoint[];
}

export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly series: readonly ChartSeries[];
}

/** Number of looks that the style sheet has; further series begin again. */
export const SLOTS = 4;

// Units of the view box, which is about a phone's width in CSS pixels: text keeps its size there.
const WIDTH = 420;
const HEIGHT = 270;
const PLOT = { left: 50, right: 338, top: 12, bottom: 226 };
const LABEL_GAP = 15;

/** Shares (0 to 100 %) over x, each series a line with its interval band, a marker at each point and its name at the end. */
export function lineChart(chart: Chart): Markup {
  const series = chart.series.filter(({ points }) => points.length > 0);
  const xs = [...new Set(series.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
  const scale = scaleOf(xs);
  const labels = spread(series.map(({ points }) => scale.y(points.at(-1)?.y ?? 0)));
  return html`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${describe(chart)}">
${gridLines(scale)}${xAxis(xs, scale, chart.xLabel)}
${series.map(({ slot, points }) => html`<path class="band s${slot % SLOTS}" d="${bandPath(points, scale)}"/>`)}
${series.map((one, at) => line(one, scale, labels[at] ?? 0))}
</svg>`;
}

interface Scale {
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
}

function scaleOf(xs: readonly number[]): Scale {
  const first = xs[0] ?? 0;
  const extent = (xs.at(-1) ?? 1) - first;
  const { left, right, top, bottom } = PLOT;
  return {
    // A single one stands beside its name: the leader between them would pass for a line.
    x: (value) => (extent > 0 ? left + ((value - first) / extent) * (right - left) : right),
    y: (value) => bottom - value * (bottom - top),
  };
}

function gridLines({ y }: Scale): Markup[] {
  return [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      html`<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${round(y(share))}" y2="${round(y(share))}"/><text class="tick" text-anchor="end" x="${PLOT.left - 7}" y="${round(y(share) + 4)}">${share * 100}${share === 1 ? ' %' : ''}</text>`,
  );
}

function xAxis(xs: readonly number[], { x }: Scale, label: string): Markup {
  const every = Math.ceil(xs.length / 8);
  const ticks = xs.filter((_, at) => at % every === 0);
  return html`${ticks.map((value) => html`<text class="tick" text-anchor="middle" x="${round(x(value))}" y="${PLOT.bottom + 18}">${Number(value.toPrecision(3))}</text>`)}<text class="axis" text-anchor="middle" x="${(PLOT.left + PLOT.right) / 2}" y="${HEIGHT - 6}">${label}</text>`;
}

function line({ name, slot, points }: ChartSeries, scale: Scale, labelY: number): Markup {
  const look = slot % SLOTS;
  const path = points
    .map(({ x, y }, at) => `${at === 0 ? 'M' : 'L'}${round(scale.x(x))} ${round(scale.y(y))}`)
    .join('');
  const end = points.at(-1);
  const from = end ? `M${round(scale.x(end.x) + 5)} ${round(scale.y(end.y))}L${PLOT.right + 12} ${round(labelY)}` : '';
  return html`<g class="s${look}"><path class="line" d="${path}"/>${points.map(({ x, y }) => html`<path class="mark" d="${marker(look, scale.x(x), scale.y(y))}"/>`)}<path class="leader" d="${from}"/><text class="name" x="${PLOT.right + 15}" y="${round(labelY + 4)}">${name}</text></g>`;
}

/** A single point has a narrow bar. */
function bandPath(points: readonly ChartPoint[], { x, y }: Scale): string {
  const ends = points.flatMap((point) =>
    points.length > 1 ? [{ point, at: 0 }] : [-4, 4].map((at) => ({ point, at })),
  );
  const upper = ends.map(({ point, at }) => `${round(x(point.x) + at)} ${round(y(point.upper))}`);
  const lower = ends.map(({ point, at }) => `${round(x(point.x) + at)} ${round(y(point.lower))}`).reverse();
  return `M${[...upper, ...lower].join('L')}Z`;
}

// Series differ by shape as well as by colour.
function marker(look: number, x: number, y: number): string {
  const at = `${round(x)} ${round(y)}`;
  const shapes = ['m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z', 'm-4 -4h8v8h-8z', 'm0 -5l5 9h-10z', 'm0 -5l5 5l-5 5l-5 -5z'];
  return `M${at}${shapes[look]}`;
}

/** Moves positions apart, in their order, so that names do not overlap, and keeps them in the picture. */
export function spread(wanted: readonly number[]): number[] {
  const order = wanted.map((_, at) => at).sort((a, b) => (wanted[a] ?? 0) - (wanted[b] ?? 0));
  const placed = [...wanted];
  let least = PLOT.top;
  for (const at of order) {
    placed[at] = Math.max(placed[at] ?? 0, least);
    least = (placed[at] ?? 0) + LABEL_GAP;
  }
  let most = PLOT.bottom;
  for (const at of order.toReversed()) {
    placed[at] = Math.min(placed[at] ?? 0, most);
    most = (placed[at] ?? 0) - LABEL_GAP;
  }
  return placed;
}

function describe({ title, series }: Chart): string {
  const ends = series.map(({ name, points }) => {
    const end = points.at(-1);
    return end ? `${name} ends at ${(end.y * 100).toFixed(1)} %` : `${name} has no figures`;
  });
  return `${title}: ${ends.join(', ')}. The table below has all figures.`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
