import { residualNetwork } from './residual.ts';

/** He et al. 2016, for images of 32x32: a 3x3 stem of stride 1 and no pooling after it. */
export const resnet18 = residualNetwork({
  name: 'resnet18',
  summary: 'residual network of eight basic blocks (64 to 512 filters) with batch or group normalisation',
  stem: 64,
  stages: [64, 128, 256, 512],
  blocks: 2,
  activation: 'after',
});
