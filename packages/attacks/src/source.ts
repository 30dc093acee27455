import type { Classifier } from '@jsigr/models';
import type { Source } from './plan.ts';
import { ensembleOf } from './randomised.ts';

/** Who is looked at, the target or the surrogates' ensemble, and who makes it up. */
export function sourceOf(
  source: Source,
  { target, surrogates }: { readonly target: Classifier; readonly surrogates: readonly Classifier[] },
): { readonly source: Classifier; readonly members: readonly Classifier[] } {
  const [first, ...others] = surrogates;
  if (source === 'target' || !first) return { source: target, members: [target] };
  const joined = others.length === 0 ? first : ensembleOf(surrogates, surrogates.map(({ id }) => id).join('+'));
  return { source: joined, members: surrogates };
}
