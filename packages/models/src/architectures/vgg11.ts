import { vggNetwork } from './vgg.ts';

/** Configuration A of the paper. */
export const vgg11 = vggNetwork({
  name: 'vgg11',
  summary: 'eight 3x3 convolutions (64 to 512 filters) with batch or group normalisation and maximum pooling',
  stages: [[64], [128], [256, 256], [512, 512], [512, 512]],
});
