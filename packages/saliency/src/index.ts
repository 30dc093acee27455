export { diverging, type Rgb } from './colours.ts';
export { SaliencyError, type SaliencyErrorReason } from './errors.ts';
export { blurImage } from './gaussian.ts';
export { gradCam } from './grad-cam.ts';
export { gradient } from './gradient.ts';
export { type InfidelityOptions, infidelity } from './infidelity.ts';
export { inputXGradient } from './input-x-gradient.ts';
export { type InsertionDeletion, insertionDeletion } from './insertion-deletion.ts';
export { integratedGradients } from './integrated-gradients.ts';
export type { Explanation, SaliencyContext, SaliencyMethod } from './method.ts';
export {
  type GroundTruth,
  normalise,
  pointingGame,
  relevanceMass,
  relevanceRank,
  sparseness,
  topOverlap,
} from './metrics.ts';
export { occlusion } from './occlusion.ts';
export type { OutputName } from './output.ts';
export { enlarge, type OverlayOptions, renderMap, renderOverlay } from './overlay.ts';
export { perturbation } from './perturbation.ts';
export { encodePng, type Pixels } from './png.ts';
export { methodNamed, saliencyMethods } from './registry.ts';
export { sarfa } from './sarfa.ts';
export { shapley } from './shapley.ts';
export { smooth, smoothgrad } from './smoothgrad.ts';
