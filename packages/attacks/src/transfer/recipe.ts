import { AttackError } from '../errors.ts';
import { type InputName, type InputTransformation, inputTransformations } from './inputs.ts';

/** A transfer attack as its pieces. */
export interface Recipe {
  /** `mi`: the directions of all steps add up; `ni`: they do, and the gradient is taken ahead of the point. */
  readonly momentum?: 'mi' | 'ni';
  readonly inputs: readonly InputTransformation[];
  /** The gradient is smoothed over neighbouring pixels. */
  readonly smoothed: boolean;
  /** The gradient is corrected by how it varied around the last point. */
  readonly tuned: boolean;
}

/** Every piece with a sentence for help and documentation. */
export const pieces: Readonly<Record<string, string>> = {
  mi: 'momentum: the directions of all steps add up (Dong et al. 2018)',
  ni: 'momentum, with the gradient taken ahead of the point (Lin et al. 2020)',
  ...Object.fromEntries(Object.entries(inputTransformations).map(([name, { summary }]) => [name, summary])),
  ti: 'translation invariance: the gradient is smoothed by a Gaussian (Dong et al. 2019)',
  vmi: 'variance tuning: the gradient is corrected by its variance around the last point (Wang and He 2021)',
};

/**
 * `mi+di+ti` as its pieces.
 * @throws AttackError INVALID_SETTING for an unknown piece, one that comes twice, or both kinds of momentum.
 */
export function recipeOf(text: string): Recipe {
  const names = text.split('+');
  for (const name of names)
    if (!Object.hasOwn(pieces, name))
      throw invalid(`"${name}" is none of ${Object.keys(pieces).join(', ')}; write mi+di+ti`);
  if (new Set(names).size < names.length) throw invalid(`${text} names a piece twice`);
  if (names.includes('mi') && names.includes('ni')) throw invalid('mi and ni are two kinds of momentum: take one');
  const momentum = names.find((name) => name === 'mi' || name === 'ni');
  return {
    ...(momentum && { momentum }),
    inputs: names
      .filter((name): name is InputName => Object.hasOwn(inputTransformations, name))
      .map((name) => inputTransformations[name]),
    smoothed: names.includes('ti'),
    tuned: names.includes('vmi'),
  };
}

function invalid(message: string): AttackError {
  return new AttackError('INVALID_SETTING', 'settings.recipe', message);
}

/** Views of the images in one gradient: each piece multiplies them. */
export function copiesOf({ inputs }: Recipe): number {
  return inputs.reduce((product, { copies }) => product * copies, 1);
}
