import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

/**
 * Non-local mean by dot products, Xie et al., arXiv 1812.03411, section 4.1: every pixel becomes `1/(HW) sum_j (x_i . x_j) x_j`. Summed over j
 * first, that is x times a matrix of channels by channels, whatever the size of the image.
 */
export function nonLocalMean(x: Tensor): Tensor {
  const [batch = 1, height = 1, width = 1, channels = 1] = x.shape;
  const pixels = tf.reshape(x, [batch, height * width, channels]) as Tensor3D;
  const weights = tf.mul(tf.matMul(pixels, pixels, true, false), 1 / (height * width));
  return tf.reshape(tf.matMul(pixels, weights as Tensor3D), [batch, height, width, channels]);
}
