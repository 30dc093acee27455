import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import { defineOptimizer, LEAST_GRADIENT } from './optimizer.ts';
import { decayScalar, learningRateSetting, shrunk, weightDecaySetting } from './weight-decay.ts';

/**
 * Kingma and Ba, arXiv 1412.6980. The state is kept as plain sums u = m / (1 - beta1) and w = v / (1 - beta2), and all factors that are
 * the same for every weight go into two scalars of the step, which leaves ten operations a weight instead of fourteen:
 *
 *     u <- beta1 u + g,   w <- beta2 w + g^2,   weight <- weight - rate u / (sqrt(w) + epsilon')
 *     rate = learningRate (1 - beta1) / (1 - beta1^t) / s,   epsilon' = epsilon / s,   s = sqrt((1 - beta2) / (1 - beta2^t))
 */
export const adam = defineOptimizer({
  name: 'adam',
  summary: 'Adam; with weight decay it is AdamW',
  settings: z.strictObject({
    learningRate: learningRateSetting(0.001),
    beta1: z.number().min(0).lt(1).default(0.9).describe('decay of the mean gradient, in [0, 1)'),
    beta2: z.number().min(0).lt(1).default(0.999).describe('decay of the mean squared gradient, in [0, 1)'),
    epsilon: z.number().min(1e-12).max(1).default(1e-8).describe('added to the root of the mean square, 1e-12..1'),
    weightDecay: weightDecaySetting,
  }),
  bind: ({ learningRate, beta1, beta2, epsilon, weightDecay }) => ({
    learningRate,
    slots: ['gradientSum', 'squareSum'],
    scalars: (rate, step) => {
      const spread = Math.sqrt((1 - beta2) / (1 - beta2 ** step));
      return {
        rate: (rate * (1 - beta1)) / (1 - beta1 ** step) / spread,
        epsilon: epsilon / spread,
        ...decayScalar(weightDecay, rate),
      };
    },
    update: (inputs) => {
      const { state, scalars } = inputs;
      const gradient = tf.add(inputs.gradient, LEAST_GRADIENT);
      const gradientSum = tf.add(tf.mul(state.gradientSum ?? 0, beta1), gradient);
      const squareSum = tf.add(tf.mul(state.squareSum ?? 0, beta2), tf.square(gradient));
      const direction = tf.div(gradientSum, tf.add(tf.sqrt(squareSum), scalars.epsilon ?? 0));
      return {
        parameter: tf.sub(shrunk(inputs), tf.mul(direction, scalars.rate ?? 0)),
        state: { gradientSum, squareSum },
      };
    },
  }),
});
