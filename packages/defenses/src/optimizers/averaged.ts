import * as tf from '@tensorflow/tfjs-core';
import type { BoundOptimizer } from './optimizer.ts';

/** The slot that holds the average. */
export const AVERAGE = 'average';

/**
 * An optimiser that also keeps the exponential moving average of the weights (Polyak and Juditsky 1992), as one more slot of its state.
 * The decay of step t is at most (1 + t) / (10 + t), so that the first, random weights are soon forgotten.
 */
export function averaged(optimizer: BoundOptimizer, decay: number): BoundOptimizer {
  if (decay === 0) return optimizer;
  return {
    learningRate: optimizer.learningRate,
    slots: [...optimizer.slots, AVERAGE],
    scalars: (rate, step) => ({
      ...optimizer.scalars(rate, step),
      averageDecay: Math.min(decay, (1 + step) / (10 + step)),
    }),
    update: ({ scalars, ...inputs }) => {
      const { averageDecay = 0, ...rest } = scalars;
      const { parameter, state } = optimizer.update({ ...inputs, scalars: rest });
      const before = inputs.state[AVERAGE] ?? parameter;
      // a + (1 - d) (p - a), which is exact where both are equal
      const average = tf.add(before, tf.mul(tf.sub(1, averageDecay), tf.sub(parameter, before)));
      return { parameter, state: { ...state, [AVERAGE]: average } };
    },
  };
}
