import { l2 } from '@jsigr/attacks';
import { float32, type NdArray, scalar, sizeOf, stopGradient } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { SaliencyPlan } from '../saliency-cache.ts';
import { slopeAlong } from './directional-slope.ts';
import type { BatchContext, TracedBatch } from './objective.ts';
import {
  type GradientTarget,
  imitationPenalty,
  inputGradient,
  meanSquaredNorm,
  type SharedForward,
  targetFunctions,
} from './penalties.ts';
import {
  type Estimator,
  type MaskKind,
  type Rule,
  type SaliencySource,
  someWeight,
  USUAL_THRESHOLD,
} from './settings.ts';

/** The settings of the selective input-gradient term (see `settings.ts`). */
export interface SelectiveSettings {
  readonly gradientWeight: number;
  readonly gradientTarget: GradientTarget;
  readonly mask: MaskKind;
  readonly maskThreshold?: number | undefined;
  readonly maskQuantile?: number | undefined;
  readonly maskWarmupEpochs: number;
  readonly maskRefreshEpochs: number;
  readonly saliencyMethod: string;
  readonly saliencySource: SaliencySource;
  readonly saliencyStride: number;
  readonly imitationWeight: number;
  readonly estimator: Estimator;
  readonly differenceStep: number;
}

const usesSaliency = ({ mask, gradientWeight, imitationWeight }: SelectiveSettings) =>
  (mask !== 'none' && gradientWeight > 0) || imitationWeight > 0;

/** What may not stand together. */
export const selectiveRules: readonly Rule<SelectiveSettings>[] = [
  {
    field: 'maskThreshold',
    message: 'needs mask=hard: other masks have no threshold',
    holds: ({ mask, maskThreshold }) => maskThreshold === undefined || mask === 'hard',
  },
  {
    field: 'maskQuantile',
    message: 'needs mask=hard: other masks have no threshold',
    holds: ({ mask, maskQuantile }) => maskQuantile === undefined || mask === 'hard',
  },
  {
    field: 'maskQuantile',
    message: 'cannot stand beside maskThreshold: a hard mask has one of them',
    holds: ({ maskThreshold, maskQuantile }) => maskQuantile === undefined || maskThreshold === undefined,
  },
  {
    field: 'saliencySource',
    message:
      'may be teacher only where saliency is used: mask=hard or soft with gradientWeight above 0, or imitationWeight above 0',
    holds: (settings) => settings.saliencySource === 'self' || usesSaliency(settings),
  },
  {
    field: 'imitationWeight',
    message: 'must be 0 with estimator=finite-difference: the direction of a gradient needs second derivatives',
    holds: ({ imitationWeight, estimator }) => estimator === 'exact' || imitationWeight === 0,
  },
];

/** For objectives that are nothing without saliency. */
export const saliencyRule: Rule<SelectiveSettings> = {
  field: 'mask',
  message:
    'must be hard or soft, or imitationWeight above 0: the selective term needs saliency (input-gradient does without)',
  holds: (settings) => usesSaliency(settings) || settings.gradientWeight === 0,
};

/** For the objective that is this term alone. */
export const weightRule = someWeight('gradientWeight', 'imitationWeight');

/** Saliency maps are made only where a mask or the imitation term uses them, and counts. */
export function saliencyPlan(settings: SelectiveSettings): SaliencyPlan | undefined {
  if (!usesSaliency(settings)) return undefined;
  const { maskWarmupEpochs, maskRefreshEpochs, saliencyStride, saliencyMethod, saliencySource } = settings;
  return {
    warmupEpochs: maskWarmupEpochs,
    refreshEpochs: maskRefreshEpochs,
    stride: saliencyStride,
    method: saliencyMethod,
    source: saliencySource,
  };
}

/** `penalised` is 1 - M, which is 1 everywhere while there is no map; the imitation term is off until there is one. */
export function selectiveInputs(settings: SelectiveSettings, batch: BatchContext): Record<string, NdArray> {
  const [height, width] = batch.input;
  const shape = [batch.batchSize, height, width, 1];
  return {
    ...(settings.mask === 'none' ? {} : { penalised: penalisedPixels(settings, batch.saliency, shape) }),
    ...(settings.imitationWeight === 0
      ? {}
      : {
          saliency: batch.saliency ?? float32(new Float32Array(sizeOf(shape)), shape),
          imitate: scalar(batch.saliency ? 1 : 0),
        }),
  };
}

/**
 * lambda_S mean_i ||(1 - M_i) dg_i/dx_i||_2^2, and lambda_M mean_i (1 - cos(|dg_i/dx_i|, S_i)) where it is switched on.
 * The mask and the saliency are constants here: they come from an earlier network.
 */
export function selectiveTerms(
  settings: SelectiveSettings,
  shared: SharedForward,
  batch: TracedBatch,
): Record<string, Tensor> {
  const { ramp, inputs } = batch;
  const gradient = inputGradient(settings.gradientTarget, shared, batch);
  const { penalised, saliency, imitate } = inputs;
  const selected = penalised ? tf.mul(gradient, penalised) : gradient;
  const norm =
    settings.estimator === 'exact' ? meanSquaredNorm(selected) : normByDifference(settings, shared, batch, selected);
  return {
    inputGradient: tf.mul(norm, tf.mul(ramp, settings.gradientWeight)),
    ...(saliency && imitate
      ? {
          imitation: tf.mul(
            imitationPenalty(gradient, saliency),
            tf.mul(tf.mul(ramp, imitate), settings.imitationWeight),
          ),
        }
      : {}),
  };
}

/**
 * ||(1 - M) dg/dx|| is the slope of g along (1 - M) u, u the unit vector of (1 - M) dg/dx: the same norm without second derivatives.
 */
function normByDifference(
  { gradientTarget, differenceStep }: SelectiveSettings,
  { logits }: SharedForward,
  batch: TracedBatch,
  selected: Tensor,
): Tensor {
  const { value } = targetFunctions[gradientTarget];
  const unit = l2.normalize(stopGradient(selected));
  const direction = batch.inputs.penalised ? tf.mul(unit, batch.inputs.penalised) : unit;
  const slope = slopeAlong(
    (images) => value(batch.forward(images), batch),
    value(logits, batch),
    { images: batch.images, direction },
    { step: differenceStep, scheme: 'one-sided' },
  );
  return tf.mean(tf.square(slope));
}

function penalisedPixels(
  settings: SelectiveSettings,
  saliency: NdArray | undefined,
  shape: readonly number[],
): NdArray {
  if (!saliency) return float32(new Float32Array(sizeOf(shape)).fill(1), shape);
  const { mask, maskThreshold = USUAL_THRESHOLD, maskQuantile } = settings;
  const pixels = sizeOf(shape.slice(1));
  const penalised = new Float32Array(sizeOf(shape));
  for (let from = 0; from < penalised.length; from += pixels) {
    const map = (saliency.data as Float32Array).subarray(from, from + pixels);
    const threshold = maskQuantile === undefined ? maskThreshold : quantile(map, maskQuantile);
    for (let i = 0; i < pixels; i++) {
      const s = map[i] ?? 0;
      // Where nothing matters nothing is spared, also if the threshold is that of many zeros.
      penalised[from + i] = 1 - (mask === 'soft' ? s : s > 0 && s >= threshold ? 1 : 0);
    }
  }
  return float32(penalised, shape);
}

/** The smallest value that is at least as large as this part of the values; 0: the least of them. */
export function quantile(values: Float32Array, part: number): number {
  const sorted = Float32Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
}
