import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import { defineObjective } from './objective.ts';
import { crossEntropy } from './penalties.ts';

export const standard = defineObjective({
  name: 'standard',
  summary: 'cross-entropy alone: the undefended baseline',
  settings: z.strictObject({}),
  bind: () => ({
    inputs: () => ({}),
    loss: ({ forward, images, labels }) => {
      const logits = forward(images);
      return { logits, terms: { crossEntropy: tf.mean(crossEntropy(logits, labels)) } };
    },
  }),
});
