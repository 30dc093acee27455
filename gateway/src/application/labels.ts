import { type Caller, OPERATOR } from '../access/caller.ts';
import type { Violations } from './violations.ts';

const MOST_LABELS = 16;
const MOST_LABEL_CHARACTERS = 63;
/** Labels that the gateway sets itself: by them it finds its surrogates again. */
const RESERVED_LABELS = ['role', 'recipe'];
/** Labels by which the operator finds the run of a resource, and by which the resource owns the run's Jobs: of others they would be believed. */
const OPERATORS_LABELS = 'kubernetes.';

export function checkLabels(
  labels: Readonly<Record<string, string>>,
  { from, violations }: { readonly from: Caller; readonly violations: Violations },
): void {
  const entries = Object.entries(labels);
  if (entries.length > MOST_LABELS) violations.add('labels', `${entries.length} given, at most ${MOST_LABELS} allowed`);
  for (const [name, value] of entries) {
    if (RESERVED_LABELS.includes(name) || (name.startsWith(OPERATORS_LABELS) && from !== OPERATOR))
      violations.add(`labels.${name}`, 'is set by the gateway itself');
    violations.printable('labels', name);
    violations.printable(`labels.${name}`, value);
    if (name === '' || name.length > MOST_LABEL_CHARACTERS || value.length > MOST_LABEL_CHARACTERS)
      violations.add('labels', `a label's name and value have at most ${MOST_LABEL_CHARACTERS} characters each`);
  }
}
