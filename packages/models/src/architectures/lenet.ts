import type { Tensor } from '@tensorflow/tfjs-core';
import { convolution, fullyConnected, logitLayer } from '../layers.ts';
import { NORM_LAYERS } from '../norm-layers.ts';
import type { Architecture } from './architecture.ts';

const HIDDEN = 256;

export const lenet: Architecture = {
  name: 'lenet',
  summary: 'two 5x5 convolutions of stride 2 (32 and 64 filters) and a hidden layer of 256 units',
  norms: ['none', 'batch', 'group'],
  hasDenoising: false,
  parameters: ([height, width, channels], classes, { norm }) => ({
    ...convolution('conv1', 5, channels, 32),
    ...NORM_LAYERS[norm].parameters('conv1.norm', 32),
    ...convolution('conv2', 5, 32, 64),
    ...NORM_LAYERS[norm].parameters('conv2.norm', 64),
    ...fullyConnected('hidden', Math.ceil(height / 4) * Math.ceil(width / 4) * 64, HIDDEN),
    ...logitLayer(HIDDEN, classes),
  }),
  forward: ({ conv, norm, dense, activate, flatten }, images) => {
    const layer = (x: Tensor, name: string) => activate(norm(conv(x, name, 2), `${name}.norm`));
    const hidden = activate(dense(flatten(layer(layer(images, 'conv1'), 'conv2')), 'hidden'));
    return dense(hidden, 'logits');
  },
};
