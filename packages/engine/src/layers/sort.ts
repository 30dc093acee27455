import * as tf from '@tensorflow/tfjs-core';

/**
 * The numbers of the last axis in rising order (or falling, with `descending`), and where each came from (int32). Of equal numbers the first comes
 * first if they fall, last if they rise. The values have derivatives, those of the places they came from.
 */
export function sort(
  x: tf.Tensor,
  { descending = false }: { readonly descending?: boolean } = {},
): { values: tf.Tensor; indices: tf.Tensor } {
  const { values, indices } = tf.topk(x, x.shape.at(-1) ?? 0);
  const last = x.rank - 1;
  return descending ? { values, indices } : { values: tf.reverse(values, last), indices: tf.reverse(indices, last) };
}
