import { fullyConnected, logitLayer } from '../layers.ts';
import type { Architecture } from './architecture.ts';

const WIDTH = 400;

export const mlp: Architecture = {
  name: 'mlp',
  summary: 'two hidden layers of 400 units; no convolution, a surrogate unlike the other networks',
  norms: ['none'],
  hasDenoising: false,
  parameters: ([height, width, channels], classes) => ({
    ...fullyConnected('hidden1', height * width * channels, WIDTH),
    ...fullyConnected('hidden2', WIDTH, WIDTH),
    ...logitLayer(WIDTH, classes),
  }),
  forward: ({ dense, activate, flatten }, images) => {
    const first = activate(dense(flatten(images), 'hidden1'));
    const second = activate(dense(first, 'hidden2'));
    return dense(second, 'logits');
  },
};
