import * as tf from '@tensorflow/tfjs-core';

/** Row k holds the k-th cosine: the orthonormal DCT-II, so that the transposed matrix is its inverse. */
function cosines(size: number): tf.Tensor {
  const numbers = Array.from({ length: size * size }, (_, i) => {
    const [k, n] = [Math.floor(i / size), i % size];
    const scale = Math.sqrt((k === 0 ? 1 : 2) / size);
    return scale * Math.cos((Math.PI * (2 * n + 1) * k) / (2 * size));
  });
  return tf.tensor2d(numbers, [size, size]);
}

function transform(images: tf.Tensor, isInverse: boolean): tf.Tensor {
  const [, height = 0, width = 0] = images.shape;
  const perm = [0, 3, 1, 2];
  const planes = tf.transpose(images, perm);
  const [rows, columns] = [cosines(height), cosines(width)];
  // planes as [N C H, W], so that the product is one matrix product; the other axis likewise
  const along = tf.matMul(tf.reshape(planes, [-1, width]), columns, false, !isInverse);
  const turned = tf.transpose(tf.reshape(along, planes.shape), [0, 1, 3, 2]);
  const both = tf.matMul(tf.reshape(turned, [-1, height]), rows, false, !isInverse);
  return tf.transpose(tf.reshape(both, turned.shape), [0, 3, 2, 1]);
}

/** Two-dimensional orthonormal cosine transform (DCT-II) of each plane of images [N, H, W, C]; H and W up to 1024. */
export function cosineTransform(images: tf.Tensor): tf.Tensor {
  return transform(images, false);
}

/** The inverse of `cosineTransform` (DCT-III), and its adjoint. */
export function inverseCosineTransform(coefficients: tf.Tensor): tf.Tensor {
  return transform(coefficients, true);
}
