import * as tf from '@tensorflow/tfjs-core';
import { exactRelu, negativePart } from '../operations/rules.ts';

/**
 * Gaussian error linear unit, x Phi(x) (Hendrycks and Gimpel 2016), of a tensor of any shape. `approximate` replaces Phi by a tanh, as many checkpoints
 * of transformers want; the difference is below 5e-4.
 */
export function gelu(x: tf.Tensor, { approximate = false }: { readonly approximate?: boolean } = {}): tf.Tensor {
  if (!approximate) return tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
  const cubic = tf.add(x, tf.mul(tf.mul(tf.square(x), x), 0.044715));
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(tf.mul(cubic, Math.sqrt(2 / Math.PI))), 1));
}

/** Sigmoid linear unit, x sigmoid(x), also called swish (Elfwing et al. 2017), of a tensor of any shape. */
export function silu(x: tf.Tensor): tf.Tensor {
  return tf.mul(x, tf.sigmoid(x));
}

/**
 * Exponential linear unit, x above 0 and alpha (exp(x) - 1) below it (Clevert et al. 2015), of a tensor of any shape. Its slope at 0 is alpha, as in
 * PyTorch and Keras, and it does not overflow where the exponential is not used.
 */
export function elu(x: tf.Tensor, alpha = 1): tf.Tensor {
  return tf.add(exactRelu(x), tf.mul(alpha, tf.sub(tf.exp(negativePart(x)), 1)));
}
