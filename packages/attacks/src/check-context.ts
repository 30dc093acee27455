import { type Classifier, isQueried } from '@jsigr/models';
import type { AttackContext } from './attack.ts';
import { AttackError } from './errors.ts';
import type { Norm, NormName } from './norms.ts';

/** @throws AttackError INVALID_EPSILON unless 0 <= epsilon <= the longest distance between two images of `size` numbers. */
export function checkEpsilon(epsilon: number, norm: Norm, size: number, field = 'epsilon'): void {
  const limit = norm.diameter(size);
  if (!(epsilon >= 0 && epsilon <= limit))
    throw new AttackError(
      'INVALID_EPSILON',
      field,
      `${epsilon} is not between 0 and ${limit}, the largest ${norm.name} distance between two images in [0,1]`,
    );
}

/** @throws AttackError naming what of the context does not fit. */
export function checkContext(context: AttackContext, attack: string, known: readonly NormName[]): void {
  const { source, images, labels, norm, epsilons, attempts, sampleIndices, starts } = context;
  const [rows = 0, ...shape] = images.shape;
  if (!known.includes(norm.name))
    throw new AttackError('UNKNOWN_NORM', 'norm', `attack "${attack}" knows ${known.join(', ')}, not ${norm.name}`);
  if (images.dtype !== 'float32' || rows < 1 || shape.join() !== source.input.join())
    throw new AttackError(
      'INVALID_INPUT',
      'images',
      `${images.dtype} [${images.shape}] given, float32 [rows, ${source.input.join(', ')}] needed by ${source.id}`,
    );
  checkPixels('images', images.data);
  for (const [row, start] of (starts ?? []).entries()) {
    if (!start) continue;
    const size = images.data.length / rows;
    if (start.length !== size)
      throw new AttackError('INVALID_INPUT', `starts[${row}]`, `${start.length} numbers given, ${size} needed`);
    checkPixels(`starts[${row}]`, start);
  }
  if (labels.dtype !== 'int32' || labels.data.length !== rows)
    throw new AttackError('INVALID_INPUT', 'labels', `int32 [${rows}] needed, ${labels.dtype} [${labels.shape}] given`);
  const label = labels.data.find((value) => !(value >= 0 && value < source.classes));
  if (label !== undefined)
    throw new AttackError('INVALID_INPUT', 'labels', `${label} is not in 0..${source.classes - 1}`);
  for (const [field, values] of Object.entries({ epsilons, attempts, sampleIndices }))
    if (values.length !== rows)
      throw new AttackError('INVALID_INPUT', field, `${values.length} given for ${rows} images`);
  for (const epsilon of new Set(epsilons)) checkEpsilon(epsilon, norm, images.data.length / rows);
}

/** @throws AttackError NO_GRADIENTS if the classifier can only be asked. */
export function checkGradients(source: Classifier, attack: string, field: string): void {
  if (isQueried(source))
    throw new AttackError(
      'NO_GRADIENTS',
      field,
      `attack "${attack}" needs gradients, and ${source.id} is a black box: ${source.blackBox}. Noise, square, hop-skip-jump and transferred examples do not (profile black-box)`,
    );
}

function checkPixels(field: string, data: ArrayLike<number>): void {
  for (let i = 0; i < data.length; i++) {
    const value = data[i] ?? Number.NaN;
    if (value >= 0 && value <= 1) continue;
    throw new AttackError(
      Number.isFinite(value) ? 'INVALID_INPUT' : 'NOT_FINITE',
      field,
      `pixel value ${value} (number ${i} of the batch) is not in [0,1]`,
    );
  }
}

/** @throws AttackError INVALID_SETTING unless the class exists. */
export function checkTarget(target: number | undefined, classes: number, field = 'settings.target'): void {
  if (target !== undefined && target >= classes)
    throw new AttackError('INVALID_SETTING', field, `${target} is not in 0..${classes - 1}`);
}
