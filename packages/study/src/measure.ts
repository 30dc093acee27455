import type { Measures, RunRecord } from './record.ts';
import { keyOf } from './store.ts';
import { checkMaking, type StudyContext } from './study-context.ts';

/**
 * A measurement of a run: the one of its record, if all that it depends on is the same (the weights, and `parts`), else a new one, which is kept.
 */
export async function measure<Name extends keyof Measures>(
  context: StudyContext,
  { spec, training }: RunRecord,
  name: Name,
  parts: readonly unknown[],
  make: () => Promise<Measures[Name]>,
): Promise<Measures[Name]> {
  const { store } = context;
  const key = keyOf(name, training?.value.weights, ...parts);
  const kept = (await store.read(spec)).measures[name];
  if (kept?.key === key) return kept.value;
  checkMaking(context, `${name} of ${spec.id}`);
  const value = await make();
  const record = await store.read(spec);
  await store.write({ ...record, measures: { ...record.measures, [name]: { key, value } } });
  return value;
}
