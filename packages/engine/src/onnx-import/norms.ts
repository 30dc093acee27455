import * as tf from '@tensorflow/tfjs-core';

/** The Euclidean norm over axes, which are kept. Its slope at the zero vector is 0, as in PyTorch, where that of the root alone is infinite. */
export function euclideanNorm(x: tf.Tensor, axes: number | number[]): tf.Tensor {
  const squares = tf.sum(tf.square(x), axes, true);
  const isZero = tf.equal(squares, 0);
  return tf.where(isZero, tf.zerosLike(squares), tf.sqrt(tf.where(isZero, tf.onesLike(squares), squares)));
}

/** x / divisor, and x itself where the divisor is 0. */
export function dividedUnlessZero(x: tf.Tensor, divisor: tf.Tensor): tf.Tensor {
  return tf.div(x, tf.where(tf.equal(divisor, 0), tf.onesLike(divisor), divisor));
}
