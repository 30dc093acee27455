import { float32, type NdArray, normal, sizeOf } from '@jsigr/engine';
import * as z from 'zod';
import { findArchitecture } from './architectures/registry.ts';
import type { ImageShape } from './classifier.ts';
import { ModelError } from './errors.ts';
import { ACTIVATION_NAMES } from './layers.ts';
import { NORM_KINDS } from './norm-layers.ts';
import { checkShapes, type ParameterShapes } from './parameter-shape.ts';

const LIMITS = { side: { min: 4, max: 128 }, channels: { min: 1, max: 4 }, classes: { min: 2, max: 1000 } } as const;
export const MAX_SEED = 0xffff_ffff;

const side = z.int().min(LIMITS.side.min).max(LIMITS.side.max);

/** What determines a network but for the values of its parameters. It is written into checkpoints. */
export const modelSpecSchema = z.strictObject({
  architecture: z.string().describe('name of an architecture of the zoo'),
  input: z
    .tuple([side, side, z.int().min(LIMITS.channels.min).max(LIMITS.channels.max)])
    .readonly()
    .describe('[height, width, channels]; sides 4..128, channels 1..4'),
  classes: z.int().min(LIMITS.classes.min).max(LIMITS.classes.max).describe('number of classes, 2..1000'),
  activation: z
    .enum(ACTIVATION_NAMES)
    .default('relu')
    .describe('relu, or softplus, gelu, silu or tanh for a smooth network'),
  norm: z
    .enum(NORM_KINDS)
    .optional()
    .describe(
      'normalisation layers: none, batch or group, if the architecture has them; by default its own first choice',
    ),
  denoise: z
    .boolean()
    .default(false)
    .describe('feature-denoising blocks (Xie et al. 2019) after every stage, if the architecture can have them'),
  normalization: z
    .strictObject({
      mean: z.number().min(0).max(1).describe('subtracted from every intensity, 0..1'),
      deviation: z.number().min(0.01).max(1).describe('divides the difference, 0.01..1'),
    })
    .optional()
    .describe(
      'part of the network; by default none for grey images (their background stays 0), else mean 0.5, deviation 0.25',
    ),
});

export type ModelSpec = z.input<typeof modelSpecSchema>;
export type ResolvedModelSpec = Required<z.output<typeof modelSpecSchema>>;

/**
 * The spec with its defaults filled in.
 * @throws ModelError UNKNOWN_ARCHITECTURE, INVALID_SHAPE or INVALID_SETTING, naming the field and its limits.
 */
export function resolveModelSpec(spec: ModelSpec): ResolvedModelSpec {
  const parsed = modelSpecSchema.safeParse(spec);
  if (!parsed.success) throw invalidSpec(parsed.error);
  const { norms, hasDenoising } = findArchitecture(parsed.data.architecture);
  // Taken out and put last: equal specs have their keys in one order, whatever was left to defaults.
  const { norm = norms[0], normalization = defaultNormalization(parsed.data.input), ...rest } = parsed.data;
  if (!norms.includes(norm))
    throw new ModelError(
      'INVALID_SETTING',
      'norm',
      `norm is ${norm}; allowed for ${parsed.data.architecture}: ${norms.join(', ')}`,
    );
  if (rest.denoise && !hasDenoising)
    throw new ModelError('INVALID_SETTING', 'denoise', `denoise is true; ${rest.architecture} has no denoising blocks`);
  return { ...rest, norm, normalization };
}

/** Names and shapes of the parameters of a network. */
export function parameterShapes(spec: ModelSpec): ParameterShapes {
  const { architecture, input, classes, norm, denoise } = resolveModelSpec(spec);
  return findArchitecture(architecture).parameters(input, classes, { norm, denoise });
}

/** Names of the parameters that are running statistics; none for a network without batch normalisation. */
export function statisticNames(spec: ModelSpec): ReadonlySet<string> {
  const shapes = Object.entries(parameterShapes(spec));
  return new Set(shapes.flatMap(([name, { isStatistic }]) => (isStatistic ? [name] : [])));
}

/**
 * First values of the parameters: He et al. 2015, normal with deviation sqrt(2 / fan-in); biases 0, scales and running variances 1.
 * Each parameter has its own stream of random numbers, so that it does not depend on the others.
 * @param seed 0..2^32-1
 */
export function initialParameters(spec: ModelSpec, seed: number): Record<string, NdArray> {
  if (!Number.isInteger(seed) || seed < 0 || seed > MAX_SEED)
    throw new ModelError('INVALID_SETTING', 'seed', `seed is ${seed}; allowed: an integer from 0 to ${MAX_SEED}`);
  return Object.fromEntries(
    Object.entries(parameterShapes(spec)).map(([name, { shape, mean, deviation }]) => {
      const size = sizeOf(shape);
      if (deviation === 0) return [name, float32(new Float32Array(size).fill(mean), shape)];
      const drawn = normal({ seed, stream: `init/${name}` }, size);
      return [
        name,
        float32(
          drawn.map((value) => mean + value * deviation),
          shape,
        ),
      ];
    }),
  );
}

/** @throws ModelError PARAMETER_MISMATCH, naming the first parameter that is missing, unknown or of another shape. */
export function checkParameters(spec: ModelSpec, parameters: Readonly<Record<string, NdArray>>): void {
  const network = `${spec.architecture} for ${spec.input.join('x')} images and ${spec.classes} classes`;
  checkShapes(network, parameterShapes(spec), parameters);
}

function defaultNormalization([, , channels]: ImageShape): { mean: number; deviation: number } {
  return channels === 1 ? { mean: 0, deviation: 1 } : { mean: 0.5, deviation: 0.25 };
}

function invalidSpec(error: z.ZodError): ModelError {
  const issue = error.issues[0];
  const field = issue?.path.map(String).join('.') ?? '';
  const reason = field.startsWith('input') || field === 'classes' ? 'INVALID_SHAPE' : 'INVALID_SETTING';
  return new ModelError(reason, field, `${field || 'model'}: ${issue?.message ?? 'invalid'}`);
}
