import { saliencyMethods } from '@jsigr/saliency';
import * as z from 'zod';
import { JACOBIAN_OUTPUTS, type JacobianSettings } from './jacobian-norm.ts';
import { GRADIENT_TARGETS } from './penalties.ts';

const MAX_WEIGHT = 1e4;
const MAX_EPOCH = 10_000;

export const weight = (initial: number) => z.number().min(0).max(MAX_WEIGHT).default(initial);
const epoch = (initial: number) => z.number().min(0).max(MAX_EPOCH).default(initial);

/** @param end the default end of the ramp, in epochs */
export const rampSettings = (end = 1) => ({
  rampStartEpoch: epoch(0).describe('epoch (fractions allowed) up to which the penalties are off, 0..10000'),
  rampEndEpoch: epoch(end).describe(
    'epoch at which the penalties, growing linearly, reach their full weight; not before rampStartEpoch',
  ),
});

export const jacobianSettings = {
  jacobianWeight: weight(0.01).describe('lambda_J, the weight of half the mean squared norm of the Jacobian, 0..10000'),
  projections: z
    .int()
    .min(-1)
    .max(16)
    .refine((count) => count !== 0, 'must be -1 (exact, one backward pass a class) or 1..16')
    .default(1)
    .describe('random projections that estimate the Jacobian norm, 1..16; -1: exact, one backward pass a class'),
  jacobianOutput: z
    .enum(JACOBIAN_OUTPUTS)
    .default('logits')
    .describe('whose Jacobian by the image is penalised: logits or probabilities'),
  jacobianSquared: z
    .boolean()
    .default(true)
    .describe('half the squared norm; false: the norm itself (Jakubovitz and Giryes 2018), which needs projections=-1'),
};

const differenceStep = z
  .number()
  .min(1e-4)
  .max(1)
  .default(0.01)
  .describe('h, the length of the step of a finite difference, in units of the images, 0.0001..1');

export const estimatorSettings = {
  estimator: z
    .enum(['exact', 'finite-difference'])
    .default('exact')
    .describe(
      'exact: double backpropagation; finite-difference: one more forward pass and first derivatives only (Finlay and Oberman 2019)',
    ),
  differenceStep,
};
export type Estimator = z.output<typeof estimatorSettings.estimator>;

export const differenceSettings = {
  differenceStep,
  scheme: z
    .enum(['one-sided', 'central'])
    .default('one-sided')
    .describe('one-sided: one more forward pass; central: two, with an error of the order of h^2 instead of h'),
};

export const MASK_KINDS = ['none', 'hard', 'soft'] as const;
export type MaskKind = (typeof MASK_KINDS)[number];

/** Where saliency maps come from. */
function saliencySettings(method: string, source: SaliencySource) {
  return {
    saliencyMethod: z
      .enum(Object.keys(saliencyMethods))
      .default(method)
      .describe(`what makes the saliency maps: ${Object.keys(saliencyMethods).join(', ')}`),
    saliencySource: z
      .enum(SALIENCY_SOURCES)
      .default(source)
      .describe(
        'whose saliency: self (the network in training, an earlier moment of it) or teacher (a fixed network, given with the run)',
      ),
  };
}

export const SALIENCY_SOURCES = ['self', 'teacher'] as const;
export type SaliencySource = (typeof SALIENCY_SOURCES)[number];

/** Of a hard mask that is given neither a threshold nor a quantile. */
export const USUAL_THRESHOLD = 0.2;

export const gradientSettings = {
  gradientWeight: weight(3).describe('lambda_S, the weight of the mean squared norm of the input gradient, 0..10000'),
  gradientTarget: z
    .enum(GRADIENT_TARGETS)
    .default('cross-entropy')
    .describe('whose gradient by the image is penalised: the cross-entropy, the logit or the probability of the label'),
  maskThreshold: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe(
      `tau: a hard mask spares pixels whose saliency (0..1, the largest of an image is 1) is at least this; ${USUAL_THRESHOLD} where neither it nor maskQuantile is given`,
    ),
  maskQuantile: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe(
      'in place of maskThreshold: a hard mask spares the pixels of an image whose saliency is above 0 and at least this quantile of it, 0..1',
    ),
  ...saliencySettings('perturbation', 'self'),
  maskWarmupEpochs: z
    .int()
    .min(0)
    .max(MAX_EPOCH)
    .default(1)
    .describe('epochs before the first saliency maps: those of an untrained network are noise'),
  maskRefreshEpochs: z
    .int()
    .min(1)
    .max(MAX_EPOCH)
    .default(8)
    .describe(
      'the maps are made again every so many epochs; they cost (side / saliencyStride)^2 forward passes an image',
    ),
  saliencyStride: z
    .int()
    .min(1)
    .max(32)
    .default(8)
    .describe('pixels between the points that are perturbed, 1..32; coarser is cheaper'),
  imitationWeight: weight(0).describe(
    'lambda_M, the weight of 1 - cos(size of the input gradient, saliency): pulls the gradient towards the saliency map, 0..10000',
  ),
};

export const maskSetting = (initial: MaskKind) =>
  z
    .enum(MASK_KINDS)
    .default(initial)
    .describe(
      'which pixels the input-gradient penalty spares: none, hard (saliency >= maskThreshold) or soft (by saliency)',
    );

export interface Ramp {
  readonly rampStartEpoch: number;
  readonly rampEndEpoch: number;
}

/** A rule about several settings together; `field` is the one that the error names. */
export interface Rule<Settings> {
  readonly field: keyof Settings & string;
  readonly message: string;
  readonly holds: (settings: Settings) => boolean;
}

/** The schema with its rules. They are asked in order; all that do not hold are told. */
export function withRules<Shape extends z.ZodRawShape>(
  shape: Shape,
  rules: readonly Rule<z.output<z.ZodObject<Shape, z.core.$strict>>>[],
) {
  return z.strictObject(shape).superRefine((settings, context) => {
    for (const { field, message, holds } of rules)
      if (!holds(settings)) context.addIssue({ code: 'custom', path: [field], message });
  });
}

/** Without its penalties an objective is another one. */
export function someWeight<Name extends string>(...names: readonly [Name, ...Name[]]): Rule<Record<Name, number>> {
  const [field, ...others] = names;
  const or = others.length > 0 ? `, or ${others.join(' or ')}` : '';
  return {
    field,
    message: `must be above 0${or}: else only cross-entropy is left (standard)`,
    holds: (settings) => names.some((name) => settings[name] > 0),
  };
}

export const rampRule: Rule<Ramp> = {
  field: 'rampEndEpoch',
  message: 'must not be before rampStartEpoch',
  holds: ({ rampStartEpoch, rampEndEpoch }) => rampStartEpoch <= rampEndEpoch,
};

export const jacobianRule: Rule<JacobianSettings> = {
  field: 'jacobianSquared',
  message: 'may be false only with projections=-1: the root of an estimate is no estimate of the root',
  holds: ({ jacobianSquared, projections }) => jacobianSquared || projections === -1,
};

export const jacobianEstimatorRule: Rule<Pick<JacobianSettings, 'projections'> & { readonly estimator: Estimator }> = {
  field: 'projections',
  message: 'must be 1..16 with estimator=finite-difference, which measures along random projections',
  holds: ({ projections, estimator }) => estimator === 'exact' || projections > 0,
};

/** The ramp of an objective's settings. */
export function rampOf(settings: Ramp) {
  return { startEpoch: settings.rampStartEpoch, endEpoch: settings.rampEndEpoch };
}
