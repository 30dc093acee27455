import { convolution, fullyConnected, logitLayer } from '../layers.ts';
import type { Architecture } from './architecture.ts';

const HIDDEN = 256;

export const lenet: Architecture = {
  name: 'lenet',
  summary: 'two 5x5 convolutions of stride 2 (32 and 64 filters) and a hidden layer of 256 units',
  norms: ['none'],
  hasDenoising: false,
  parameters: ([height, width, channels], classes) => ({
    ...convolution('conv1', 5, channels, 32),
    ...convolution('conv2', 5, 32, 64),
    ...fullyConnected('hidden', Math.ceil(height / 4) * Math.ceil(width / 4) * 64, HIDDEN),
    ...logitLayer(HIDDEN, classes),
  }),
  forward: ({ conv, dense, activate, flatten }, images) => {
    const first = activate(conv(images, 'conv1', 2));
    const second = activate(conv(first, 'conv2', 2));
    const hidden = activate(dense(flatten(second), 'hidden'));
    return dense(hidden, 'logits');
  },
};
