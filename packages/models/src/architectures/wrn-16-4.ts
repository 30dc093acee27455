import { residualNetwork } from './residual.ts';

/** Zagoruyko and Komodakis, arXiv 1605.07146: depth 16, four times as wide as the residual networks for CIFAR; without dropout. */
export const wrn16x4 = residualNetwork({
  name: 'wrn-16-4',
  summary: 'wide residual network of six blocks (64, 128 and 256 filters) with batch or group normalisation',
  stem: 16,
  stages: [64, 128, 256],
  blocks: 2,
  activation: 'before',
});
