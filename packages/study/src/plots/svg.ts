/** Text that may stand in SVG. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

export function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Okabe and Ito's colours, which people with any colour vision tell apart, and some darker ones for long legends. */
const COLOURS = [
  '#000000',
  '#e69f00',
  '#56b4e9',
  '#009e73',
  '#d55e00',
  '#0072b2',
  '#cc79a7',
  '#8c6d1f',
  '#5e4fa2',
  '#7a7a7a',
  '#9c0006',
];

export function colour(index: number): string {
  return COLOURS[index % COLOURS.length] ?? '#000000';
}

// Shapes of about 10 pixels around a point.
const SHAPES = [
  'm-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z',
  'm-4 -4h8v8h-8z',
  'm0 -5l5 9h-10z',
  'm0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z',
  'm-5 -4h10l-5 9z',
];

export function marker(index: number, x: number, y: number): string {
  return `M${round(x)} ${round(y)}${SHAPES[index % SHAPES.length]}`;
}

export function text(
  x: number,
  y: number,
  words: string,
  {
    anchor = 'start',
    bold = false,
    size = 12,
  }: { anchor?: 'start' | 'middle' | 'end'; bold?: boolean; size?: number } = {},
): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="${size}"${bold ? ' font-weight="600"' : ''}>${escaped(words)}</text>`;
}

export function segment(x1: number, y1: number, x2: number, y2: number, stroke: string, width = 1): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="${stroke}" stroke-width="${width}"/>`;
}

/** A whole picture, on white, so that it can be read on any page. */
export function picture(width: number, height: number, title: string, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}" font-family="system-ui, sans-serif" fill="#222">
<rect width="${width}" height="${height}" fill="#fff"/>
${text(16, 24, title, { bold: true, size: 14 })}
${parts.join('\n')}
</svg>
`;
}

/** Round numbers from the first at or above `low` to `high`, about `count` of them. */
export function ticks(low: number, high: number, count = 5): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) ?? rough;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) =>
    Number(((first + i) * step).toPrecision(12)),
  );
}
