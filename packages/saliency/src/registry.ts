import { SaliencyError } from './errors.ts';
import { gradCam } from './grad-cam.ts';
import { gradient } from './gradient.ts';
import { inputXGradient } from './input-x-gradient.ts';
import { integratedGradients } from './integrated-gradients.ts';
import type { SaliencyMethod } from './method.ts';
import { occlusion } from './occlusion.ts';
import { perturbation } from './perturbation.ts';
import { sarfa } from './sarfa.ts';
import { shapley } from './shapley.ts';
import { smoothgrad } from './smoothgrad.ts';

/** Every method by name. To add one: its file, and its line here. */
export const saliencyMethods: Readonly<Record<string, SaliencyMethod>> = {
  gradient,
  'input-x-gradient': inputXGradient,
  smoothgrad,
  'integrated-gradients': integratedGradients,
  perturbation,
  sarfa,
  occlusion,
  shapley,
  'grad-cam': gradCam,
};

/** @throws SaliencyError UNKNOWN_METHOD, with the known names. */
export function methodNamed(name: string, field = 'method'): SaliencyMethod {
  const method = Object.hasOwn(saliencyMethods, name) ? saliencyMethods[name] : undefined;
  if (!method)
    throw new SaliencyError('UNKNOWN_METHOD', field, `"${name}" is none of ${Object.keys(saliencyMethods).join(', ')}`);
  return method;
}
