import * as tf from '@tensorflow/tfjs-core';

/**
 * Scaled dot-product attention (Vaswani et al. 2017, equation 1): softmax(q k' / sqrt(d)) v for queries [..., Q, d], keys [..., K, d] and values [..., K, e];
 * leading axes (batch, heads) broadcast.
 */
export function attention(queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor): tf.Tensor {
  const scale = 1 / Math.sqrt(queries.shape.at(-1) ?? 1);
  const scores = tf.matMul(tf.mul(queries, scale), keys, false, true);
  return tf.matMul(tf.softmax(scores), values);
}
