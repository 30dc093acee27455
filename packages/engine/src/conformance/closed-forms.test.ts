import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ClosedForm, checkClosedForm, closedForms } from './closed-forms.ts';
import { closeEngines, type NamedEngine, openEngines } from './engines.ts';

let engines: readonly NamedEngine[];
beforeAll(async () => {
  engines = await openEngines();
});
afterAll(() => closeEngines(engines));

test.each(Object.entries(closedForms))('%s has these values and derivatives on every engine', async (name, form) => {
  const findings = await checkClosedForm(name, form, engines);
  expect(findings).toHaveLength(3 * engines.length);
  expect(findings.filter(({ problem }) => problem)).toEqual([]);
});

test('a wrong number is reported, on every engine', async () => {
  const wrong: ClosedForm = { ...(closedForms.relu as ClosedForm), second: [0, 1, 0] };
  const findings = await checkClosedForm('relu', wrong, engines);
  const reported = findings.flatMap(({ check, problem }) => (problem ? [check] : []));
  expect(reported).toEqual(engines.map(({ name }) => `relu: second on ${name}`));
});
