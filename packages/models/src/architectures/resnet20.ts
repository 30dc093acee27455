import { residualNetwork } from './residual.ts';

/** He et al. 2016, section 4.2, with 1x1 projections. */
export const resnet20 = residualNetwork({
  name: 'resnet20',
  summary: 'residual network of nine basic blocks (16, 32 and 64 filters) with batch or group normalisation',
  stem: 16,
  stages: [16, 32, 64],
  blocks: 3,
  activation: 'after',
});
