import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import { defineOptimizer, LEAST_GRADIENT, type Update } from './optimizer.ts';
import { decayScalar, learningRateSetting, shrunk, weightDecaySetting } from './weight-decay.ts';

/** Velocity v <- momentum v + g, step v; with Nesterov's look-ahead the step is g + momentum v (as in Sutskever et al. 2013). */
export const sgd = defineOptimizer({
  name: 'sgd',
  summary: 'stochastic gradient descent with momentum',
  settings: z.strictObject({
    learningRate: learningRateSetting(0.05),
    momentum: z.number().min(0).lt(1).default(0.9).describe('momentum, in [0, 1); 0: plain gradient descent'),
    nesterov: z.boolean().default(false).describe("Nesterov's look-ahead"),
    weightDecay: weightDecaySetting,
  }),
  bind: ({ learningRate, momentum, nesterov, weightDecay }) => ({
    learningRate,
    slots: momentum === 0 ? [] : ['velocity'],
    scalars: (rate) => ({ rate, ...decayScalar(weightDecay, rate) }),
    update: (inputs): Update => {
      const { gradient, state, scalars } = inputs;
      const next = (direction: Tensor) => tf.sub(shrunk(inputs), tf.mul(direction, scalars.rate ?? 0));
      if (!state.velocity) return { parameter: next(gradient), state: {} };
      const velocity = tf.add(tf.mul(state.velocity, momentum), tf.add(gradient, LEAST_GRADIENT));
      return {
        parameter: next(nesterov ? tf.add(gradient, tf.mul(velocity, momentum)) : velocity),
        state: { velocity },
      };
    },
  }),
});
