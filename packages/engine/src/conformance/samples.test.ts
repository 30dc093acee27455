import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operations } from '../operations/table.ts';
import { checkSample } from './check-sample.ts';
import { compositions } from './compositions.ts';
import { closeEngines, type NamedEngine, openEngines } from './engines.ts';

let engines: readonly NamedEngine[];
beforeAll(async () => {
  engines = await openEngines();
});
afterAll(() => closeEngines(engines));

const rows = [...operations].map(([kernel, { samples }]) => [kernel, samples] as const);

describe.each([...rows, ...Object.entries(compositions)])('%s', (kernel, samples) => {
  test.each(samples.map((sample, i) => [i, sample] as const))('sample %i', async (i, sample) => {
    const findings = await checkSample(`${kernel} ${i}`, sample, engines);
    expect(findings.length).toBeGreaterThan(0);
    expect(findings.filter(({ problem }) => problem)).toEqual([]);
  });
});

test('every operation has a sample', () => {
  expect(rows.filter(([, samples]) => samples.length === 0)).toEqual([]);
});
