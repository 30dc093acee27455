import { float32, type Tree } from '@jsigr/engine';
import type { Classifier, ImageShape } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';

/** Logits `rows · x + bias`; one row of weights per class. */
export function linearClassifier(
  rows: readonly (readonly number[])[],
  bias: readonly number[],
  input: ImageShape,
): Classifier {
  return {
    id: 'linear',
    input,
    classes: rows.length,
    parameters: {
      weights: float32(rows.flat(), [rows.length, rows[0]?.length ?? 0]),
      bias: float32(bias, [rows.length]),
    },
    forward: linearForward,
  };
}

function linearForward(parameters: Tree<tf.Tensor>, images: tf.Tensor): tf.Tensor {
  const { weights, bias } = parameters as { readonly weights: tf.Tensor2D; readonly bias: tf.Tensor };
  return tf.add(tf.matMul(flat(images), tf.transpose(weights)), bias);
}

/** A classifier whose logit 0 is a formula of the pixels (each `[batch, 1]`), and logit 1 zero. */
export function formula(pixels: number, f: (columns: readonly tf.Tensor[]) => tf.Tensor): Classifier {
  return {
    id: 'formula',
    input: [1, pixels, 1],
    classes: 2,
    parameters: { none: float32([0], [1]) },
    forward: (_, images) => {
      const value = f(tf.split(flat(images), pixels, 1));
      return tf.concat([value, tf.zerosLike(value)], 1);
    },
  };
}

function flat(images: tf.Tensor): tf.Tensor2D {
  return tf.reshape(images, [images.shape[0] ?? 1, -1]) as tf.Tensor2D;
}
