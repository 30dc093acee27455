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

/**
 * A network of one convolution: its maps rectified, flattened channel after channel, and weighted by a row for each class.
 * @param filters `[filters]` of `[side * side]` numbers
 */
export function convolutional(
  input: ImageShape,
  side: number,
  filters: readonly (readonly number[])[],
  bias: readonly number[],
  rows: readonly (readonly number[])[],
): Classifier {
  const kernel = filters[0]?.flatMap((_, i) => filters.map((filter) => filter[i] ?? 0)) ?? [];
  return {
    id: 'convolutional',
    input,
    classes: rows.length,
    parameters: {
      kernel: float32(kernel, [side, side, input[2], filters.length]),
      bias: float32(bias, [filters.length]),
      weights: float32(rows.flat(), [rows.length, rows[0]?.length ?? 0]),
    },
    forward: convolutionalForward,
  };
}

function convolutionalForward(parameters: Tree<tf.Tensor>, images: tf.Tensor): tf.Tensor {
  const { kernel, bias, weights } = parameters as Readonly<Record<'kernel' | 'bias' | 'weights', tf.Tensor>>;
  const maps = tf.add(tf.conv2d(images as tf.Tensor4D, kernel as tf.Tensor4D, 1, 'valid'), bias as tf.Tensor);
  const channelFirst = tf.transpose(tf.relu(maps), [0, 3, 1, 2]);
  return tf.relu(tf.matMul(flat(channelFirst), tf.transpose(weights as tf.Tensor2D)));
}
