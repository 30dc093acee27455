import { z } from 'zod';
import { inputGradient } from './input-gradient.ts';
import { defineMethod } from './method.ts';

/** The gradient of what is explained with respect to the image (Simonyan et al., arXiv 1312.6034), with its sign. */
export const gradient = defineMethod({
  name: 'gradient',
  summary: 'How what is explained changes with each pixel: the input gradient (Simonyan et al. 2014)',
  settings: z.strictObject({}),
  forwards: () => 1,
  explain: async (context) => ({ map: (await inputGradient(context)).gradient }),
});
