import { describe, expect, it } from 'vitest';
import { lineChart, spread } from './line-chart.ts';

const point = (x: number, y: number) => ({ x, y, lower: y - 0.1, upper: y + 0.1 });

describe('line charts', () => {
  const { text } = lineChart({
    title: 'White-box',
    xLabel: 'epoch',
    series: [
      { name: 'J-SIGR <x>', slot: 2, points: [point(1, 0.5), point(3, 0.75)] },
      { name: 'none', slot: 1, points: [] },
    ],
  });

  it('draw a line, a band and a marker per point', () => {
    // x runs from 50 to 338 over 1..3, y from 226 (0 %) to 12 (100 %).
    expect(text).toContain('d="M50 119L338 65.5"');
    expect(text).toContain('d="M50 97.6L338 44.1L338 86.9L50 140.4Z"');
    expect(text.match(/class="mark"/g)).toHaveLength(2);
  });

  it('say in words what they show', () =>
    expect(text).toContain('aria-label="White-box: J-SIGR &lt;x&gt; ends at 75.0 %, none has no figures.'));

  it('leave out series without points, and hold for one point', () => {
    expect(text).not.toContain('>none<');
    const single = lineChart({
      title: 'one',
      xLabel: 'epoch',
      series: [{ name: 'a', slot: 0, points: [point(1, 0.5)] }],
    });
    expect(single.text).not.toContain('NaN');
    // Beside its name, with its interval.
    expect(single.text).toContain('class="line" d="M338 119"');
    expect(single.text).toContain('d="M334 97.6L342 97.6L342 140.4L334 140.4Z"');
  });
});

describe('names at the ends of lines', () => {
  it.each([
    ['stay where there is room', [50, 100], [50, 100]],
    ['move apart, in their order', [100, 101], [100, 115]],
    ['stay inside at the bottom', [226, 226, 226], [196, 211, 226]],
  ])('%s', (_, wanted, placed) => expect(spread(wanted)).toEqual(placed));
});
