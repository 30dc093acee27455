import { afterAll, beforeAll, expect, test } from 'vitest';
import { closeEngines, type NamedEngine, openEngines } from './engines.ts';
import { checkRandomGraphs } from './random-graphs.ts';

let engines: readonly NamedEngine[];
beforeAll(async () => {
  engines = await openEngines();
});
afterAll(() => closeEngines(engines));

test('200 random graphs are the same on all engines, and equal differences where they are smooth', async () => {
  const findings = await checkRandomGraphs(engines, 200, 1);
  expect(findings.filter(({ problem }) => problem)).toEqual([]);
  expect(findings).toHaveLength(200);
}, 120_000);
