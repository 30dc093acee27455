import { colour, marker, picture, round, segment, text, ticks } from './svg.ts';

export interface ScatterPoint {
  readonly x: number;
  readonly y: number;
  /** Ends of the interval of y, where there is one. */
  readonly low?: number;
  readonly high?: number;
  /** Of the legends: gives the colour, and the marker. */
  readonly series: string;
  readonly kind: string;
  /** A few words beside the point. */
  readonly note?: string;
  /** Drawn with a ring, e.g. what lies on a Pareto front. */
  readonly marked?: boolean;
}

export interface ScatterAxis {
  readonly label: string;
  readonly scale: 'linear' | 'log';
  readonly format: (value: number) => string;
}

export interface Scatter {
  readonly title: string;
  readonly x: ScatterAxis;
  readonly y: ScatterAxis;
  readonly points: readonly ScatterPoint[];
  /** A line below the legend: what a ring means. */
  readonly mark?: string;
}

const WIDTH = 760;
const PLOT = { left: 64, right: 520, top: 54, bottom: 380 };
const LEGEND = 540;
const ROW = 20;

/** Points over two axes: colours are series, shapes are kinds. */
export function scatterPlot({ title, x, y, points, mark }: Scatter): string {
  const series = [...new Set(points.map((point) => point.series))];
  const kinds = [...new Set(points.map((point) => point.kind))];
  const across = scaleOf(
    x,
    points.map((point) => point.x),
    PLOT.left + 14,
    PLOT.right - 14,
  );
  const ys = points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]);
  const up = scaleOf(y, ys, PLOT.bottom - 10, PLOT.top + 10);
  const legend = [
    ...series.map((name, i) => ({ name, shape: 0, fill: colour(i) })),
    ...(kinds.length > 1 ? kinds.map((name, i) => ({ name, shape: i, fill: '#fff' })) : []),
  ];
  const height = Math.max(PLOT.bottom + 60, PLOT.top + ROW * (legend.length + 2));
  return picture(WIDTH, height, title, [
    ...across.ticks.map(
      (value) =>
        grid(across.at(value), true) + text(across.at(value), PLOT.bottom + 18, x.format(value), { anchor: 'middle' }),
    ),
    ...up.ticks.map(
      (value) => grid(up.at(value), false) + text(PLOT.left - 8, up.at(value) + 4, y.format(value), { anchor: 'end' }),
    ),
    text((PLOT.left + PLOT.right) / 2, PLOT.bottom + 42, x.label, { anchor: 'middle' }),
    text(PLOT.left - 48, PLOT.top - 6, y.label),
    ...points.map((point) =>
      drawn(point, across.at(point.x), up.at, series.indexOf(point.series), kinds.indexOf(point.kind)),
    ),
    ...legend.map(({ name, shape, fill }, i) => {
      const at = PLOT.top + ROW * i + 10;
      return `<path d="${marker(shape, LEGEND, at)}" fill="${fill}" stroke="#222" stroke-width="0.8"/>${text(LEGEND + 12, at + 4, name)}`;
    }),
    mark ? text(LEGEND - 6, PLOT.top + ROW * legend.length + 16, mark, { size: 11 }) : '',
  ]);
}

function drawn(
  { y, low, high, marked, note }: ScatterPoint,
  x: number,
  up: (value: number) => number,
  series: number,
  kind: number,
): string {
  const fill = colour(series);
  const interval = low === undefined || high === undefined ? '' : segment(x, up(low), x, up(high), fill, 1.2);
  const ring = marked
    ? `<circle cx="${round(x)}" cy="${round(up(y))}" r="9" fill="none" stroke="#222" stroke-width="1.2"/>`
    : '';
  const words = note ? text(x + 9, up(y) - 7, note, { size: 10 }) : '';
  return `${interval}${ring}<path d="${marker(kind, x, up(y))}" fill="${fill}" stroke="#fff" stroke-width="0.8"/>${words}`;
}

function grid(at: number, vertical: boolean): string {
  return vertical
    ? segment(at, PLOT.top, at, PLOT.bottom, '#e4e4e4')
    : segment(PLOT.left, at, PLOT.right, at, '#e4e4e4');
}

function scaleOf({ scale }: ScatterAxis, values: readonly number[], from: number, to: number) {
  const finite = values.filter((value) => Number.isFinite(value) && (scale === 'linear' || value > 0));
  const move = scale === 'log' ? Math.log10 : (value: number) => value;
  const [low, high] = spanned(Math.min(...finite), Math.max(...finite), scale);
  const extent = move(high) - move(low);
  return {
    at: (value: number) => from + ((move(Math.max(value, low)) - move(low)) / extent) * (to - from),
    ticks: scale === 'log' ? powers(low, high) : ticks(low, high),
  };
}

/** The range of an axis: never empty. */
function spanned(low: number, high: number, scale: ScatterAxis['scale']): [number, number] {
  if (!Number.isFinite(low)) return scale === 'log' ? [1, 10] : [0, 1];
  if (high > low) return [low, high];
  return scale === 'log' ? [low / 2, low * 2] : [low - Math.abs(low || 1) / 10, low + Math.abs(low || 1) / 10];
}

/** 1, 2 and 5 times the powers of ten within a range. */
function powers(low: number, high: number): number[] {
  const first = Math.floor(Math.log10(low));
  const count = Math.ceil(Math.log10(high)) - first + 1;
  return Array.from({ length: count }, (_, i) => [1, 2, 5].map((factor) => factor * 10 ** (first + i)))
    .flat()
    .filter((value) => value >= low * 0.999 && value <= high * 1.001);
}
