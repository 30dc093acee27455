import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import type { UpdateInputs } from './optimizer.ts';

export const weightDecaySetting = z
  .number()
  .min(0)
  .max(10)
  .default(0)
  .describe(
    'decoupled weight decay (Loshchilov and Hutter 2019), 0..10: a step first scales weights, not biases, by 1 - learningRate * weightDecay',
  );

export const learningRateSetting = (initial: number) =>
  z.number().positive().max(10).default(initial).describe('learning rate, in (0, 10]');

/** The scalar by which {@link shrunk} scales weights. */
export function decayScalar(weightDecay: number, learningRate: number): Record<string, number> {
  return weightDecay === 0 ? {} : { decay: 1 - learningRate * weightDecay };
}

/** The parameter after weight decay. Biases (rank 1) are left alone. */
export function shrunk({ parameter, scalars: { decay } }: UpdateInputs): Tensor {
  return decay && parameter.rank > 1 ? tf.mul(parameter, decay) : parameter;
}
