import * as z from 'zod';
import { defineObjective } from './objective.ts';
import { meanCrossEntropy } from './penalties.ts';

export const standard = defineObjective({
  name: 'standard',
  summary: 'cross-entropy alone: the undefended baseline',
  source: 'textbook',
  settings: z.strictObject({}),
  bind: () => ({
    inputs: () => ({}),
    loss: (batch) => {
      const logits = batch.forward(batch.images);
      return { logits, terms: { crossEntropy: meanCrossEntropy(logits, batch) } };
    },
  }),
});
