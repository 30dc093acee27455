import type { Engine, NdArray } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import type { z } from 'zod';
import { checkContext, checkGradients } from './check-context.ts';
import { AttackError } from './errors.ts';
import type { AttackLoss } from './losses.ts';
import type { Norm, NormName } from './norms.ts';

/**
 * What an attack may know: `white-box` the gradients of the target, `score` its logits, `decision` its predicted classes, `transfer` only the
 * gradients of surrogates, `control` nothing (what random noise of the same size does; not an attack).
 */
export type Access = 'white-box' | 'score' | 'decision' | 'transfer' | 'control';

/** `radius`: looks for the worst point of the ball. `distance`: looks for the nearest adversarial point, whatever the radius. */
export type Goal = 'radius' | 'distance';

/** Samples to be attacked together, a row each. The same sample may have several rows, with other attempts or radii. */
export interface AttackContext {
  readonly engine: Engine;
  /** The classifier that is looked at: the target itself, or its surrogates' ensemble. */
  readonly source: Classifier;
  /** Who makes up the source, where it is an ensemble; else the source alone. */
  readonly members?: readonly Classifier[];
  /** float32 `[rows, height, width, channels]` in [0,1]; never written to. */
  readonly images: NdArray;
  /** int32 `[rows]`: the true labels. */
  readonly labels: NdArray;
  readonly norm: Norm;
  /** `[rows]`: radius of each row's ball, 0..`norm.diameter`, in units of the images (8/255, not 8). */
  readonly epsilons: readonly number[];
  /** u32; with a row's attempt and sample index the address of every random number. */
  readonly seed: number;
  /** `[rows]`: which of the attack's attempts each row is (restart, target), from 0. Adversarial training passes its step here. */
  readonly attempts: readonly number[];
  /** `[rows]`: index of each row's sample in its split, so that it draws the same numbers alone and in any batch. */
  readonly sampleIndices: readonly number[];
  /** Rows that are computed together at most; compiled shapes are this and a few fractions of it. By default all rows. */
  readonly batchSize?: number;
  /** `[rows]` of `[height * width * channels]` in [0,1]: where a row starts instead of at its own starting point (an earlier adversarial image). */
  readonly starts?: readonly (Float32Array | undefined)[];
  /** Raised instead of the loss that the settings name: the hook of adaptive attacks. Gradient attacks with a `loss` setting take it. */
  readonly loss?: AttackLoss;
  /** Other images and their labels, that some attacks mix in or begin with. */
  readonly pool?: { readonly images: NdArray; readonly labels: NdArray };
  readonly signal?: AbortSignal;
  /**
   * Asked before every step, with the passes of all rows so far: is a budget spent? Then no further step is made, and the outcome is what was found until
   * then. By default never.
   */
  readonly isSpent?: (passes: Cost) => boolean;
  /** Called with all rows after the random start (step 0) and after every step. */
  readonly onStep?: (points: NdArray, step: number) => void;
}

/** Passes through the source for one sample and one attempt. */
export interface Cost {
  readonly forwards: number;
  readonly backwards: number;
}

/** What became of each row. */
export interface Outcome {
  /** Images shaped like `context.images`, in [0,1]; of attacks with the goal `radius` in the ball too. */
  readonly adversarial: NdArray;
  /** Passes that were spent on each row, `[rows]`. */
  readonly forwards: readonly number[];
  readonly backwards: readonly number[];
  /** A budget ended it before it had made all its steps. */
  readonly short?: boolean;
}

/** Settings are parsed (and defaults filled in) wherever they are taken. @throws AttackError INVALID_SETTING */
export interface Attack {
  readonly name: string;
  /** One sentence for lists and help. */
  readonly summary: string;
  readonly access: Access;
  readonly goal: Goal;
  readonly norms: readonly NormName[];
  /** Does it steer towards classes that it chooses? */
  readonly targeted: boolean;
  /** Settings with defaults, ranges and descriptions: help texts, forms and the documentation are made from it. */
  readonly settings: z.ZodObject;
  readonly parse: (settings: unknown, field?: string) => Readonly<Record<string, unknown>>;
  /** How many attempts (restarts, times targets) the runner makes on a sample that resists. */
  readonly attempts: (settings: unknown, classes: number) => number;
  /** Of one attempt at most. */
  readonly cost: (settings: unknown, classes: number) => Cost;
  /**
   * @throws AttackError INVALID_INPUT, NOT_FINITE, INVALID_EPSILON, INVALID_SETTING; the signal's reason once it is aborted.
   */
  readonly run: (context: AttackContext, settings?: unknown) => Promise<Outcome>;
}

interface Definition<Schema extends z.ZodObject> {
  readonly name: string;
  readonly summary: string;
  readonly access: Access;
  readonly goal?: Goal;
  readonly norms: readonly NormName[];
  readonly targeted?: boolean;
  readonly settings: Schema;
  readonly attempts?: (settings: z.output<Schema>, classes: number) => number;
  readonly cost: (settings: z.output<Schema>, classes: number) => Cost;
  readonly run: (context: AttackContext, settings: z.output<Schema>) => Promise<Outcome>;
}

/** An attack from its definition: settings and input are checked here, once, for all. */
export function defineAttack<Schema extends z.ZodObject>(definition: Definition<Schema>): Attack {
  const { name, summary, access, goal = 'radius', norms, targeted = false, settings: schema } = definition;
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
    goal,
    norms,
    targeted,
    settings: schema,
    parse,
    attempts: (settings, classes) => definition.attempts?.(parse(settings), classes) ?? 1,
    cost: (settings, classes) => definition.cost(parse(settings), classes),
    run: async (context, settings) => {
      context.signal?.throwIfAborted();
      checkContext(context, name, norms);
      const parsed = parse(settings);
      if (definition.cost(parsed, context.source.classes).backwards > 0) checkGradients(context.source, name, 'source');
      return definition.run(context, parsed);
    },
  };
}
