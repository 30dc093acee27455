import { convolution, logitLayer } from '../layers.ts';
import type { Architecture } from './architecture.ts';

export const smallcnn: Architecture = {
  name: 'smallcnn',
  summary: 'three 3x3 convolutions (16, 32 and 64 filters, strides 1, 2, 2) and no hidden layer',
  norms: ['none'],
  hasDenoising: false,
  parameters: ([height, width, channels], classes) => ({
    ...convolution('conv1', 3, channels, 16),
    ...convolution('conv2', 3, 16, 32),
    ...convolution('conv3', 3, 32, 64),
    ...logitLayer(Math.ceil(height / 4) * Math.ceil(width / 4) * 64, classes),
  }),
  forward: ({ conv, dense, activate, flatten }, images) => {
    const first = activate(conv(images, 'conv1', 1));
    const second = activate(conv(first, 'conv2', 2));
    const third = activate(conv(second, 'conv3', 2));
    return dense(flatten(third), 'logits');
  },
};
