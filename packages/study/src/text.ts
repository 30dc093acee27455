import type { Radius } from './cells.ts';
import type { Estimate } from './estimate.ts';

export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  return line(header) + line(header.map(() => '---')) + rows.map(line).join('');
}

/** A share in percent, with spread and interval: `87.7 ± 0.4 [86.9, 88.5]`. */
export function percent(estimate: Estimate | undefined): string {
  return estimate ? figure(estimate, 1, 100, [0, 100]) : '-';
}

/** A number with spread and interval. */
export function decimal(estimate: Estimate | undefined, digits: number): string {
  return estimate ? figure(estimate, digits, 1) : '-';
}

function figure(
  { mean, spread, low, high }: Estimate,
  digits: number,
  scale: number,
  [least, most]: readonly [number, number] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
): string {
  const text = (value: number) => Math.min(most, Math.max(least, scale * value)).toFixed(digits);
  const around = spread === undefined ? '' : ` ± ${(scale * spread).toFixed(digits)}`;
  return `${text(mean)}${around}${low === high ? '' : ` [${text(low)}, ${text(high)}]`}`;
}

export function points(share: number): string {
  const text = (100 * share).toFixed(1);
  return share > 0 ? `+${text}` : text;
}

export function pValue(p: number): string {
  return p < 0.001 ? '<0.001' : p.toFixed(3);
}

/** `linf 8/255`, `l2 0.5`. */
export function radiusText({ norm, epsilon }: Radius): string {
  const of255 = epsilon * 255;
  const isFraction = epsilon < 0.1 && Math.abs(of255 - Math.round(of255)) < 1e-6;
  return `${norm} ${isFraction ? `${Math.round(of255)}/255` : Number(epsilon.toPrecision(4))}`;
}

export function settingsText(settings: Readonly<Record<string, unknown>>): string {
  return (
    Object.entries(settings)
      .map(([name, value]) => `${name}=${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`)
      .join(' ') || 'defaults'
  );
}
