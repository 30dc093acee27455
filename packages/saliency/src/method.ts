import type { Engine, NdArray } from '@jsigr/engine';
import type { Classifier, ImageShape } from '@jsigr/models';
import type { z } from 'zod';
import { SaliencyError } from './errors.ts';
import { type OutputName, outputNamed } from './output.ts';

export interface SaliencyContext {
  readonly engine: Engine;
  readonly classifier: Classifier;
  /** float32 `[batch, height, width, channels]` in [0,1]; never written to. */
  readonly images: NdArray;
  /** int32 `[batch]`: the classes to explain (labels, or predictions). */
  readonly targets: NdArray;
  /** What is explained: the target's logit (default), its probability, or its cross-entropy. */
  readonly output?: OutputName;
  /** u32, for methods that draw random numbers; 0 by default. */
  readonly seed?: number;
  /** `[batch]`: addresses of the samples' random numbers, so that a sample draws the same alone and in any batch; 0..batch-1 by default. */
  readonly sampleIndices?: readonly number[];
  readonly signal?: AbortSignal;
}

export interface Explanation {
  /**
   * float32 `[batch, height, width, 1]`: raw and unscaled. Signed for attributions (a positive pixel speaks for what is explained);
   * an image's channels are summed.
   */
  readonly map: NdArray;
  readonly check?: {
    /** `[batch]`: sum of the map minus what it should sum to. */
    readonly completenessGap: readonly number[];
  };
}

/** An explanation is a function from a model and images to maps; what wraps a method (smoothing) gives a method again. */
export interface SaliencyMethod {
  readonly name: string;
  /** One sentence for lists and help. */
  readonly summary: string;
  /** Settings with defaults, ranges and descriptions: help texts, forms and the documentation are made from it. */
  readonly settings: z.ZodObject;
  /**
   * Images that the model is asked about, at most, to explain one of this shape; for gradients each goes back too.
   * @throws SaliencyError INVALID_SETTING
   */
  readonly forwards: (input: ImageShape, settings?: unknown) => number;
  /** @throws SaliencyError INVALID_INPUT, NOT_FINITE, UNKNOWN_OUTPUT, INVALID_SETTING; the signal's reason once it is aborted. */
  readonly explain: (context: SaliencyContext, settings?: unknown) => Promise<Explanation>;
}

interface Definition<Schema extends z.ZodObject> {
  readonly name: string;
  readonly summary: string;
  readonly settings: Schema;
  readonly forwards: (input: ImageShape, settings: z.output<Schema>) => number;
  readonly explain: (context: SaliencyContext, settings: z.output<Schema>) => Promise<Explanation>;
}

/** A method from its definition: settings and input are checked here, once, for all. */
export function defineMethod<Schema extends z.ZodObject>(definition: Definition<Schema>): SaliencyMethod {
  const { name, summary, settings: schema, forwards, explain } = definition;
  const parse = (settings: unknown) => {
    const parsed = schema.safeParse(settings ?? {});
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const path = ['settings', ...(issue?.path ?? [])].join('.');
    throw new SaliencyError('INVALID_SETTING', path, `${issue?.message} (method "${name}")`, { cause: parsed.error });
  };
  return {
    name,
    summary,
    settings: schema,
    forwards: (input, settings) => forwards(input, parse(settings)),
    explain: async (context, settings) => {
      checkContext(context);
      return explain(context, parse(settings));
    },
  };
}

/** Random addresses of the samples. */
export function sampleIndicesOf({ sampleIndices, images }: SaliencyContext): readonly number[] {
  return sampleIndices ?? Array.from({ length: images.shape[0] ?? 0 }, (_, index) => index);
}

function checkContext({ classifier, images, targets, output, sampleIndices }: SaliencyContext): void {
  const [batch = 0, ...shape] = images.shape;
  if (images.dtype !== 'float32' || batch < 1 || shape.join() !== classifier.input.join())
    throw new SaliencyError(
      'INVALID_INPUT',
      'images',
      `${images.dtype} [${images.shape}] given, float32 [batch, ${classifier.input.join(', ')}] needed by ${classifier.id}`,
    );
  // Values outside [0,1] are allowed here: smoothing hands its noisy images on. The services check what comes from outside.
  const bad = images.data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new SaliencyError('NOT_FINITE', 'images', `pixel value ${images.data[bad]} (number ${bad} of the batch)`);
  if (targets.dtype !== 'int32' || targets.data.length !== batch)
    throw new SaliencyError(
      'INVALID_INPUT',
      'targets',
      `int32 [${batch}] needed, ${targets.dtype} [${targets.shape}] given`,
    );
  const target = targets.data.find((value) => !(value >= 0 && value < classifier.classes));
  if (target !== undefined)
    throw new SaliencyError('INVALID_INPUT', 'targets', `${target} is not in 0..${classifier.classes - 1}`);
  if (sampleIndices && sampleIndices.length !== batch)
    throw new SaliencyError('INVALID_INPUT', 'sampleIndices', `${sampleIndices.length} indices for ${batch} images`);
  outputNamed(output ?? 'logit');
}
