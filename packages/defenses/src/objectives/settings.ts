import * as z from 'zod';
import { GRADIENT_TARGETS } from './penalties.ts';

const MAX_WEIGHT = 1e4;
const MAX_EPOCH = 10_000;

const weight = (initial: number) => z.number().min(0).max(MAX_WEIGHT).default(initial);
const epoch = (initial: number) => z.number().min(0).max(MAX_EPOCH).default(initial);

export const rampSettings = {
  rampStartEpoch: epoch(0).describe('epoch (fractions allowed) up to which the penalties are off, 0..10000'),
  rampEndEpoch: epoch(1).describe(
    'epoch at which the penalties, growing linearly, reach their full weight; not before rampStartEpoch',
  ),
};

export const jacobianSettings = {
  jacobianWeight: weight(0.01).describe('lambda_J, the weight of half the mean squared norm of the Jacobian, 0..10000'),
  projections: z
    .int()
    .min(-1)
    .max(16)
    .refine((count) => count !== 0, 'must be -1 (exact, one backward pass a class) or 1..16')
    .default(1)
    .describe('random projections that estimate the Jacobian norm, 1..16; -1: exact, one backward pass a class'),
};

export const MASK_KINDS = ['none', 'hard', 'soft'] as const;
export type MaskKind = (typeof MASK_KINDS)[number];

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
    .default(0.2)
    .describe('tau: a hard mask spares pixels whose saliency (0..1, the largest of an image is 1) is at least this'),
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

interface Ramp {
  readonly rampStartEpoch: number;
  readonly rampEndEpoch: number;
}

export const rampInOrder = (settings: Ramp) => settings.rampStartEpoch <= settings.rampEndEpoch;
export const RAMP_ORDER = { path: ['rampEndEpoch'], message: 'must not be before rampStartEpoch' };

/** The ramp of an objective's settings. */
export function rampOf(settings: Ramp) {
  return { startEpoch: settings.rampStartEpoch, endEpoch: settings.rampEndEpoch };
}
