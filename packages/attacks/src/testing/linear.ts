import type { Split } from '@jsigr/datasets';
import { float32, type Tree, uniform } from '@jsigr/engine';
import type { Classifier, ImageShape } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';

/** Logits `rows · x + bias`: the minimal perturbation of such a model is known. One row of weights per class. */
export function linearClassifier(
  rows: readonly (readonly number[])[],
  bias: readonly number[],
  input?: ImageShape,
): Classifier {
  const size = rows[0]?.length ?? 0;
  return {
    id: 'linear',
    input: input ?? [1, 1, size],
    classes: rows.length,
    parameters: { weights: float32(rows.flat(), [rows.length, size]), bias: float32(bias, [rows.length]) },
    forward: linearForward,
  };
}

/** One function for all linear models, as the interface asks. */
function linearForward(parameters: Tree<tf.Tensor>, images: tf.Tensor): tf.Tensor {
  const { weights, bias } = parameters as { readonly weights: tf.Tensor2D; readonly bias: tf.Tensor };
  const flat = tf.reshape(images, [images.shape[0] ?? 1, -1]) as tf.Tensor2D;
  return tf.add(tf.matMul(flat, tf.transpose(weights)), bias);
}

/** `count` seeded images of 1 x 1 x `size`, bytes 77..178: perturbations up to 0.3 never meet the box. Labels alternate between two classes. */
export function greySplit(count: number, size: number, seed: number): Split {
  const images = Uint8Array.from(
    uniform({ seed, stream: 'test.images' }, count * size),
    (u) => 77 + Math.floor(u * 102),
  );
  return { count, images, labels: Uint8Array.from({ length: count }, (_, i) => i % 2) };
}
