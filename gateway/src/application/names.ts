import { invalidArgument } from '@jsigr/service';

export type Collection = 'trainingRuns' | 'evaluations' | 'models' | 'datasets';

const patterns: Record<Collection, { readonly id: RegExp; readonly form: string }> = {
  trainingRuns: { id: /^[a-z0-9]{1,40}$/, form: 'trainingRuns/{id}' },
  evaluations: { id: /^[a-z0-9]{1,40}$/, form: 'evaluations/{id}' },
  models: { id: /^[0-9a-f]{8,64}$/, form: 'models/{digest}, 8 to 64 hexadecimal digits' },
  datasets: {
    id: /^[a-z][a-z0-9-]{0,62}$/,
    form: "datasets/{id}, 1..63 characters of a-z, 0-9, '-', beginning with a letter",
  },
};

/** The id in a resource name. @throws JsigrError INVALID_ARGUMENT naming the field. */
export function idOf(collection: Collection, name: string, field = 'name'): string {
  const { id, form } = patterns[collection];
  const prefix = `${collection}/`;
  const found = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  if (id.test(found)) return found;
  throw invalidArgument(field, `${JSON.stringify(name.slice(0, 100))} is not of the form ${form}`);
}

export function isDatasetId(id: string): boolean {
  return patterns.datasets.id.test(id);
}
