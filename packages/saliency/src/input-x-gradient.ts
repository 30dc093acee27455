import { z } from 'zod';
import { inputGradient } from './input-gradient.ts';
import { defineMethod } from './method.ts';

/** Each pixel times its gradient (Shrikumar et al., arXiv 1605.01713). */
export const inputXGradient = defineMethod({
  name: 'input-x-gradient',
  summary: 'Each pixel times its gradient: its share of the output, if the model were linear (Shrikumar et al. 2016)',
  settings: z.strictObject({}),
  forwards: () => 1,
  explain: async (context) => ({ map: (await inputGradient(context)).product }),
});
