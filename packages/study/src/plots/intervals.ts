import { colour, marker, picture, segment, text, ticks } from './svg.ts';

export interface IntervalRow {
  /** Rows of a group stand together under its name. */
  readonly group: string;
  readonly label: string;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

export interface Intervals {
  readonly title: string;
  readonly axis: string;
  readonly format: (value: number) => string;
  readonly rows: readonly IntervalRow[];
  /** A line, with what it is: what a map that knows nothing would have. */
  readonly reference?: { readonly value: number; readonly label: string };
}

const WIDTH = 760;
const LEFT = 220;
const RIGHT = 730;
const TOP = 46;
const ROW = 19;

/** One row a model: its figure and its interval, group by group, on one axis. */
export function intervalPlot({ title, axis, format, rows, reference }: Intervals): string {
  const groups = [...new Set(rows.map(({ group }) => group))];
  const labels = [...new Set(rows.map(({ label }) => label))];
  const values = [...rows.flatMap(({ low, high }) => [low, high]), ...(reference ? [reference.value] : [])];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const at = (value: number) => LEFT + ((value - low) / (high - low || 1)) * (RIGHT - LEFT - 20) + 10;
  const lines = groups.flatMap((group) => [
    { group, row: undefined },
    ...rows.filter((row) => row.group === group).map((row) => ({ group, row })),
  ]);
  const bottom = TOP + ROW * lines.length + 6;
  return picture(WIDTH, bottom + 50, title, [
    ...ticks(low, high).map(
      (value) =>
        segment(at(value), TOP, at(value), bottom, '#e4e4e4') +
        text(at(value), bottom + 18, format(value), { anchor: 'middle' }),
    ),
    reference
      ? segment(at(reference.value), TOP, at(reference.value), bottom, '#888', 1.5) +
        text(at(reference.value) + 4, TOP + 4, reference.label, { size: 11 })
      : '',
    ...lines.map(({ group, row }, i) => {
      const y = TOP + ROW * i + 12;
      if (!row) return text(16, y + 4, group, { bold: true });
      const fill = colour(labels.indexOf(row.label));
      return (
        text(LEFT - 8, y + 4, row.label, { anchor: 'end' }) +
        segment(at(row.low), y, at(row.high), y, fill, 2) +
        `<path d="${marker(0, at(row.mean), y)}" fill="${fill}" stroke="#fff" stroke-width="0.8"/>`
      );
    }),
    text((LEFT + RIGHT) / 2, bottom + 40, axis, { anchor: 'middle' }),
  ]);
}
