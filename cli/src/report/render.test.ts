import { describe, expect, it } from 'vitest';
import { madeUpReport } from '../testing/report-data.ts';
import { renderReport } from './render.ts';

const data = madeUpReport();
// Without the pictures' bytes, in which any three letters may occur.
const page = renderReport(data).replaceAll(/base64,[^"]*/g, 'base64,');
const text = page
  .replace(/<style>.*?<\/style>/s, '')
  .replace(/<[^>]+>/g, ' ')
  .replace(/\s+/g, ' ');

describe('the report', () => {
  it('shows each figure of the summary with its interval', () => {
    for (const figure of ['98.2 % [97.0, 99.4]', '81.2 % [77.8, 84.6]', '87.2 % [84.3, 90.1]', '45.7 % [43.6, 47.8]'])
      expect(text).toContain(figure);
  });

  it('says in plain sight that masking was not assessed: above the table, in every row, and in every other table', () => {
    expect(text).toContain('masking: not assessed. Nobody checked');
    const tables = page
      .split('<table>')
      .slice(1)
      .filter((table) => table.includes(' %'));
    expect(tables).toHaveLength(4);
    for (const table of tables) expect(table).toContain('not assessed');
  });

  it('says how it was made', () => {
    for (const fact of [
      'jsigr demo --seed 1',
      'Node 24.21.0',
      'trainingRuns/jsigr-1',
      'epsilon=0.1',
      'models/aaaaaaaaaaaa',
    ])
      expect(text).toContain(fact);
  });

  it('has a table for every pair of charts', () => {
    expect(page.match(/<svg class="chart"/g)).toHaveLength(4);
    expect(page.match(/Table of these charts/g)).toHaveLength(2);
  });

  it('shows every picture with its outline and words for those who do not see it', () => {
    // 4 samples of 2 rows of 4, one image by 4 methods for 3 models.
    expect(page.match(/data:image\/png;base64,/g)).toHaveLength(44);
    expect(page.match(/class="outline"/g)).toHaveLength(44);
    expect(page).toContain('aria-label="map, which says ring"');
  });

  it('needs nothing from outside', () => {
    expect(page).not.toMatch(/https?:|\/\/[a-z]|<script|<link|@import|url\(/i);
    expect(page).toContain("default-src 'none'");
  });

  it('is well formed: every element that is opened is closed', () => expect(openElements(page)).toEqual([]));

  it('has no hole where a value was missing', () => expect(page).not.toMatch(/undefined|NaN|\[object|null/));

  it('escapes whatever the data holds', () => {
    const evil = '"><img src=x onerror=alert(1)>';
    const [first] = data.models;
    if (!first) throw new Error('the fixture has models');
    const hostile = renderReport({
      ...data,
      command: evil,
      dataset: evil,
      facts: [[evil, evil]],
      models: [{ ...first, label: evil, run: evil }],
    });
    expect(hostile).not.toContain('<img');
    expect(hostile).toContain('&quot;&gt;&lt;img');
    expect(openElements(hostile)).toEqual([]);
  });

  it('holds without masks, examples and curves', () => {
    const models = data.models.map(({ relevance: _, ...model }) => ({ ...model, curve: [] }));
    const { maskArea: _, ...bare } = data;
    const plain = renderReport({ ...bare, models, samples: [], methods: [] });
    expect(plain).not.toMatch(/undefined|NaN|Relevance in/);
    expect(plain.match(/<svg class="chart"/g)).toHaveLength(2);
  });
});

// Elements that were opened and not closed, in their order; closing another one than the last opened throws.
function openElements(markup: string): string[] {
  const open: string[] = [];
  for (const [, closing, name = '', selfClosing] of markup.matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*?(\/?)>/g)) {
    if (selfClosing || ['meta', 'br'].includes(name)) continue;
    if (!closing) open.push(name);
    else if (open.pop() !== name) throw new Error(`</${name}> closes another element`);
  }
  return open;
}
