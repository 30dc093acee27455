import { operations } from '../operations/table.ts';
import { checkSample } from './check-sample.ts';
import { checkClosedForm, closedForms } from './closed-forms.ts';
import { compositions } from './compositions.ts';
import type { NamedEngine } from './engines.ts';
import type { Finding } from './findings.ts';
import { checkRandomGraphs } from './random-graphs.ts';

export interface SuiteOptions {
  /** How many random expressions. */
  readonly graphs: number;
  readonly seed: number;
}

/** The whole suite, one part after the other. */
export async function* runSuite(
  engines: readonly NamedEngine[],
  { graphs, seed }: SuiteOptions,
): AsyncGenerator<readonly Finding[]> {
  for (const [kernel, { samples }] of operations)
    for (const [i, sample] of samples.entries()) yield await checkSample(`${kernel} ${i}`, sample, engines);
  for (const [name, samples] of Object.entries(compositions))
    for (const [i, sample] of samples.entries()) yield await checkSample(`${name} ${i}`, sample, engines);
  for (const [name, form] of Object.entries(closedForms)) yield await checkClosedForm(name, form, engines);
  yield await checkRandomGraphs(engines, graphs, seed);
}
