import { vggNetwork } from './vgg.ts';

/** As small as resnet8, so that the two can be compared. */
export const vgg7 = vggNetwork({
  name: 'vgg7',
  summary: 'six 3x3 convolutions (16, 32 and 64 filters) with batch or group normalisation and maximum pooling',
  stages: [
    [16, 16],
    [32, 32],
    [64, 64],
  ],
});
