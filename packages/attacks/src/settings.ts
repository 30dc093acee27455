import { z } from 'zod';

// Settings that several attacks share, with one description.

export const lossSetting = z
  .enum(['ce', 'margin', 'dlr'])
  .default('ce')
  .describe('What is raised: cross-entropy, the best other logit minus the label’s, or that as a ratio (dlr)');

export const targetSetting = z
  .number()
  .int()
  .min(0)
  .optional()
  .describe('Class to steer towards; any other than the label if not given');

export const eotSetting = z
  .number()
  .int()
  .min(1)
  .max(1000)
  .default(1)
  .describe('Looks that are averaged at a model that draws random numbers, 1..1000; one at any other');

export function countSetting(most: number, preset: number, what: string) {
  return z.number().int().min(1).max(most).default(preset).describe(`${what}, 1..${most}`);
}
