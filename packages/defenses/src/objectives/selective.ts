import { float32, type NdArray, scalar, sizeOf } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { SaliencyPlan } from '../saliency-cache.ts';
import type { BatchContext, TracedBatch } from './objective.ts';
import {
  type GradientTarget,
  imitationPenalty,
  inputGradient,
  meanSquaredNorm,
  type SharedForward,
} from './penalties.ts';
import type { MaskKind } from './settings.ts';

/** The settings of the selective input-gradient term (see `settings.ts`). */
export interface SelectiveSettings {
  readonly gradientWeight: number;
  readonly gradientTarget: GradientTarget;
  readonly mask: MaskKind;
  readonly maskThreshold: number;
  readonly maskWarmupEpochs: number;
  readonly maskRefreshEpochs: number;
  readonly saliencyStride: number;
  readonly imitationWeight: number;
}

/** Saliency maps are made only where a mask or the imitation term uses them. */
export function saliencyPlan(settings: SelectiveSettings): SaliencyPlan | undefined {
  if (settings.mask === 'none' && settings.imitationWeight === 0) return undefined;
  const { maskWarmupEpochs, maskRefreshEpochs, saliencyStride } = settings;
  return { warmupEpochs: maskWarmupEpochs, refreshEpochs: maskRefreshEpochs, stride: saliencyStride };
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
  { labels, ramp, inputs }: TracedBatch,
): Record<string, Tensor> {
  const gradient = inputGradient(settings.gradientTarget, shared, labels);
  const { penalised, saliency, imitate } = inputs;
  const selected = penalised ? tf.mul(gradient, penalised) : gradient;
  return {
    inputGradient: tf.mul(meanSquaredNorm(selected), tf.mul(ramp, settings.gradientWeight)),
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

function penalisedPixels(
  { mask, maskThreshold }: SelectiveSettings,
  saliency: NdArray | undefined,
  shape: readonly number[],
): NdArray {
  if (!saliency) return float32(new Float32Array(sizeOf(shape)).fill(1), shape);
  const spare = mask === 'hard' ? (s: number) => (s >= maskThreshold ? 1 : 0) : (s: number) => s;
  return float32(
    Float32Array.from(saliency.data, (s) => 1 - spare(s)),
    shape,
  );
}
