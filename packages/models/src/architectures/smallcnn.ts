import type { Tensor } from '@tensorflow/tfjs-core';
import { convolution, logitLayer } from '../layers.ts';
import { NORM_LAYERS } from '../norm-layers.ts';
import type { Architecture } from './architecture.ts';

export const smallcnn: Architecture = {
  name: 'smallcnn',
  summary: 'three 3x3 convolutions (16, 32 and 64 filters, strides 1, 2, 2) and no hidden layer',
  norms: ['none', 'batch', 'group'],
  hasDenoising: false,
  parameters: ([height, width, channels], classes, { norm }) => ({
    ...convolution('conv1', 3, channels, 16),
    ...NORM_LAYERS[norm].parameters('conv1.norm', 16),
    ...convolution('conv2', 3, 16, 32),
    ...NORM_LAYERS[norm].parameters('conv2.norm', 32),
    ...convolution('conv3', 3, 32, 64),
    ...NORM_LAYERS[norm].parameters('conv3.norm', 64),
    ...logitLayer(Math.ceil(height / 4) * Math.ceil(width / 4) * 64, classes),
  }),
  forward: ({ conv, norm, dense, activate, flatten }, images) => {
    const layer = (x: Tensor, name: string, stride: number) => activate(norm(conv(x, name, stride), `${name}.norm`));
    const features = layer(layer(layer(images, 'conv1', 1), 'conv2', 2), 'conv3', 2);
    return dense(flatten(features), 'logits');
  },
};
