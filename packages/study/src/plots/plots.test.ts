import { describe, expect, test } from 'vitest';
import { intervalPlot } from './intervals.ts';
import { type Scatter, scatterPlot } from './scatter.ts';
import { ticks } from './svg.ts';

const axis = { label: 'x', scale: 'linear', format: String } as const;
const scatter = (points: Scatter['points'], change: Partial<Scatter> = {}) =>
  scatterPlot({ title: 'A & B <c>', x: axis, y: axis, points, ...change });
const marks = (svg: string) => svg.match(/<path d="[^"]*" fill="#[^"]*" stroke="#fff"/g)?.length ?? 0;
/** Every number of a drawing must be one. */
const isDrawable = (svg: string) => expect(svg).not.toMatch(/NaN|Infinity|undefined/);

describe('a scatter plot', () => {
  const point = { x: 1, y: 2, low: 1.5, high: 2.5, series: 'one', kind: 'a' };

  test('has a mark for each point, rings where they are asked for, and words that are no markup', () => {
    const svg = scatter([point, { ...point, x: 3, marked: true, note: '<3 s>' }], { mark: 'ring: best' });
    isDrawable(svg);
    expect(marks(svg)).toBe(2);
    expect(svg.match(/<circle/g)).toHaveLength(1);
    expect(svg).toContain('A &#38; B &#60;c&#62;');
    expect(svg).toContain('&#60;3 s&#62;');
    expect(svg).toContain('ring: best');
  });

  test.each([
    ['no point', []],
    ['one point', [point]],
    ['points that are all the same', [point, point]],
    ['points at zero', [{ ...point, x: 0, y: 0, low: 0, high: 0 }]],
  ])('can be drawn of %s, on both scales', (_, points) => {
    isDrawable(scatter(points));
    isDrawable(scatter(points, { x: { ...axis, scale: 'log' } }));
  });

  test('puts larger values further right and further up', () => {
    const svg = scatter([
      { x: 1, y: 1, series: 's', kind: 'k' },
      { x: 2, y: 2, series: 's', kind: 'k' },
    ]);
    const [first, second] = [...svg.matchAll(/<path d="M([\d.]+) ([\d.]+)m[^"]*" fill="[^"]*" stroke="#fff"/g)].map(
      (m) => [Number(m[1]), Number(m[2])],
    );
    expect(second?.[0]).toBeGreaterThan(first?.[0] ?? 0);
    expect(second?.[1]).toBeLessThan(first?.[1] ?? 0);
  });
});

describe('an interval plot', () => {
  const row = { group: 'lenet', label: 'standard', mean: 0.2, low: 0.1, high: 0.3 };

  test('has a row for each figure under the name of its group, and the line to compare with', () => {
    const svg = intervalPlot({
      title: 'Mass',
      axis: '%',
      format: String,
      rows: [row, { ...row, label: 'jsigr' }, { ...row, group: 'mlp' }],
      reference: { value: 0.13, label: 'chance' },
    });
    isDrawable(svg);
    expect(svg.match(/>lenet</g)).toHaveLength(1);
    expect(svg.match(/>standard</g)).toHaveLength(2);
    expect(svg).toContain('>chance<');
    isDrawable(intervalPlot({ title: 't', axis: 'a', format: String, rows: [{ ...row, low: 0.2, high: 0.2 }] }));
  });
});

test.each([
  [0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]],
  [0.12, 0.38, [0.2, 0.3]],
  [97, 99, [97, 97.5, 98, 98.5, 99]],
])('ticks of %d to %d are round numbers', (low, high, expected) => expect(ticks(low, high)).toEqual(expected));
