import type { Engine, NdArray } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import type { z } from 'zod';
import { AttackError } from './errors.ts';
import type { Norm, NormName } from './norms.ts';

/**
 * What an attack may know: `white-box` the gradients of the target, `transfer` only those of surrogates, `control` nothing
 * (what random noise of the same size does; not an attack).
 */
export type Access = 'white-box' | 'transfer' | 'control';

/** One batch to be attacked, once. */
export interface AttackContext {
  readonly engine: Engine;
  /** The classifier whose gradients are used: the target itself, or its surrogates' ensemble. */
  readonly source: Classifier;
  /** float32 `[batch, height, width, channels]` in [0,1]; never written to. */
  readonly images: NdArray;
  /** int32 `[batch]`: the true labels. */
  readonly labels: NdArray;
  readonly norm: Norm;
  /** Radius of the ball, 0..`norm.diameter`: in units of the images (8/255, not 8). */
  readonly epsilon: number;
  /** u32; with `restart` and the sample's index the address of every random number. */
  readonly seed: number;
  /** Which random start, from 0. Adversarial training passes its step here. */
  readonly restart: number;
  /** `[batch]`: index of each sample in its split, so that it draws the same numbers alone and in any batch. */
  readonly sampleIndices: readonly number[];
  readonly signal?: AbortSignal;
  /** Called with the batch after the random start (step 0) and after every step. */
  readonly onStep?: (adversarial: NdArray, step: number) => void;
}

/** Passes through the source for one sample and one restart. */
export interface Cost {
  readonly forwards: number;
  readonly backwards: number;
}

/** Settings are parsed (and defaults filled in) wherever they are taken. @throws AttackError INVALID_SETTING */
export interface Attack {
  readonly name: string;
  /** One sentence for lists and help. */
  readonly summary: string;
  readonly access: Access;
  readonly norms: readonly NormName[];
  /** Settings with defaults, ranges and descriptions: help texts, forms and the documentation are made from it. */
  readonly settings: z.ZodObject;
  readonly parse: (settings: unknown, field?: string) => Readonly<Record<string, unknown>>;
  /** How many times the runner starts it on a sample that resists. */
  readonly restarts: (settings: unknown) => number;
  readonly cost: (settings: unknown) => Cost;
  /**
   * Adversarial images, shaped like `context.images`, in the ball and in [0,1].
   * @throws AttackError INVALID_INPUT, NOT_FINITE, INVALID_EPSILON, INVALID_SETTING; the signal's reason once it is aborted.
   */
  readonly run: (context: AttackContext, settings?: unknown) => Promise<NdArray>;
}

interface Definition<Schema extends z.ZodObject> {
  readonly name: string;
  readonly summary: string;
  readonly access: Access;
  readonly norms: readonly NormName[];
  readonly settings: Schema;
  readonly restarts?: (settings: z.output<Schema>) => number;
  readonly cost: (settings: z.output<Schema>) => Cost;
  readonly run: (context: AttackContext, settings: z.output<Schema>) => Promise<NdArray>;
}

/** An attack from its definition: settings and input are checked here, once, for all. */
export function defineAttack<Schema extends z.ZodObject>(definition: Definition<Schema>): Attack {
  const { name, summary, access, norms, settings: schema } = definition;
  const parse = (settings: unknown, field = 'settings'): z.output<Schema> => {
    const parsed = schema.safeParse(settings ?? {});
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const path = [field, ...(issue?.path ?? [])].join('.');
    throw new AttackError('INVALID_SETTING', path, `${issue?.message} (attack "${name}")`, { cause: parsed.error });
  };
  return {
    name,
    summary,
    access,
    norms,
    settings: schema,
    parse,
    restarts: (settings) => definition.restarts?.(parse(settings)) ?? 1,
    cost: (settings) => definition.cost(parse(settings)),
    run: async (context, settings) => {
      context.signal?.throwIfAborted();
      checkContext(context, name, norms);
      return definition.run(context, parse(settings));
    },
  };
}

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

function checkContext(context: AttackContext, attack: string, known: readonly NormName[]): void {
  const { source, images, labels, norm, epsilon, sampleIndices } = context;
  const [batch = 0, ...shape] = images.shape;
  if (!known.includes(norm.name))
    throw new AttackError('UNKNOWN_NORM', 'norm', `attack "${attack}" knows ${known.join(', ')}, not ${norm.name}`);
  if (images.dtype !== 'float32' || batch < 1 || shape.join() !== source.input.join())
    throw new AttackError(
      'INVALID_INPUT',
      'images',
      `${images.dtype} [${images.shape}] given, float32 [batch, ${source.input.join(', ')}] needed by ${source.id}`,
    );
  const bad = images.data.findIndex((value) => !(value >= 0 && value <= 1));
  if (bad >= 0)
    throw new AttackError(
      Number.isFinite(images.data[bad]) ? 'INVALID_INPUT' : 'NOT_FINITE',
      'images',
      `pixel value ${images.data[bad]} (number ${bad} of the batch) is not in [0,1]`,
    );
  if (labels.dtype !== 'int32' || labels.data.length !== batch)
    throw new AttackError(
      'INVALID_INPUT',
      'labels',
      `int32 [${batch}] needed, ${labels.dtype} [${labels.shape}] given`,
    );
  const label = labels.data.find((value) => !(value >= 0 && value < source.classes));
  if (label !== undefined)
    throw new AttackError('INVALID_INPUT', 'labels', `${label} is not in 0..${source.classes - 1}`);
  if (sampleIndices.length !== batch)
    throw new AttackError('INVALID_INPUT', 'sampleIndices', `${sampleIndices.length} indices for ${batch} images`);
  checkEpsilon(epsilon, norm, images.data.length / batch);
}
