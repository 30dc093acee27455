import { stripVTControlCharacters } from 'node:util';

export interface Column {
  readonly title: string;
  /** Numbers read best from the right. */
  readonly align?: 'left' | 'right';
}

/** How a heading is set off, e.g. by `styleText('bold', ...)`. */
export type Paint = (text: string) => string;

const GAP = '  ';

/**
 * Columns as wide as their widest cell, headings first; cells may carry terminal colours.
 * @returns lines, each with its line feed; the headings alone where there are no rows.
 */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], paint: Paint = plain): string {
  const titles = columns.map(({ title }) => title);
  const widths = columns.map((_, at) => Math.max(...[titles, ...rows].map((row) => width(row[at] ?? ''))));
  const line = (cells: readonly string[], style: Paint): string =>
    columns
      .map(({ align }, at) => pad(cells[at] ?? '', widths[at] ?? 0, align ?? 'left', style))
      .join(GAP)
      .trimEnd();
  return [line(titles, paint), ...rows.map((row) => line(row, plain))].map((text) => `${text}\n`).join('');
}

/** `label  value` lines, for one thing with its properties; properties without a value are left out. */
export function properties(entries: readonly (readonly [label: string, value: string])[]): string {
  const shown = entries.filter(([, value]) => value !== '');
  const widest = Math.max(...shown.map(([label]) => label.length));
  return shown.map(([label, value]) => `${label.padEnd(widest)}${GAP}${value}\n`).join('');
}

function pad(text: string, target: number, align: 'left' | 'right', style: Paint): string {
  const space = ' '.repeat(target - width(text));
  return align === 'right' ? space + style(text) : style(text) + space;
}

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

function plain(text: string): string {
  return text;
}
