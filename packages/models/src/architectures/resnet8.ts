import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { convolution, type Layers, logitLayer } from '../layers.ts';
import type { ParameterShapes } from '../parameter-shape.ts';
import type { Architecture } from './architecture.ts';

const STAGES = [
  { name: 'stage1', channels: 16, filters: 16, stride: 1 },
  { name: 'stage2', channels: 16, filters: 32, stride: 2 },
  { name: 'stage3', channels: 32, filters: 64, stride: 2 },
] as const;

type Stage = (typeof STAGES)[number];

/**
 * He et al. 2016 with one basic block a stage and no batch normalisation (a sample's gradient must not depend on its batch).
 * Instead the last convolution of a block starts at zero (as in Zhang et al. 2019, "Fixup"), so that a fresh network is its shortcuts.
 */
export const resnet8: Architecture = {
  name: 'resnet8',
  summary: 'residual network of three basic blocks (16, 32 and 64 filters) without batch normalisation',
  norms: ['none'],
  hasDenoising: false,
  parameters: ([, , channels], classes) =>
    Object.assign(
      {},
      convolution('stem', 3, channels, 16),
      ...STAGES.map(blockParameters),
      logitLayer(64, classes),
    ) as ParameterShapes,
  forward: (layers, images) => {
    const stem = layers.activate(layers.conv(images, 'stem', 1));
    const features = STAGES.reduce((x, stage) => block(layers, stage, x), stem);
    return layers.dense(tf.mean(features, [1, 2]), 'logits');
  },
};

function blockParameters({ name, channels, filters, stride }: Stage): ParameterShapes {
  return {
    ...convolution(`${name}.conv1`, 3, channels, filters),
    ...convolution(`${name}.conv2`, 3, filters, filters, 0),
    // No rectifier follows the projection: gain sqrt(1/2) keeps the variance.
    ...(stride === 1 ? {} : convolution(`${name}.shortcut`, 1, channels, filters, Math.SQRT1_2)),
  };
}

function block({ conv, activate }: Layers, { name, stride }: Stage, x: Tensor): Tensor {
  const residual = conv(activate(conv(x, `${name}.conv1`, stride)), `${name}.conv2`, 1);
  const shortcut = stride === 1 ? x : conv(x, `${name}.shortcut`, stride);
  return activate(tf.add(shortcut, residual));
}
