import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';

type Reduce = (x: tf.Tensor, axis: number, keepDims: boolean) => tf.Tensor;

/** Cuts an axis into `count` windows, which overlap by one where `count` does not divide its length, and reduces each. */
function reduceWindows(x: tf.Tensor, axis: number, count: number, reduce: Reduce): tf.Tensor {
  const size = x.shape[axis] ?? 0;
  const windows = Array.from({ length: count }, (_, i) => {
    const [first, end] = [Math.floor((i * size) / count), Math.ceil(((i + 1) * size) / count)];
    const begin = x.shape.map((_, a) => (a === axis ? first : 0));
    return reduce(
      tf.slice(
        x,
        begin,
        x.shape.map((length, a) => (a === axis ? end - first : length)),
      ),
      axis,
      true,
    );
  });
  return tf.concat(windows, axis);
}

function adaptivePool(x: tf.Tensor, [height, width]: readonly [number, number], reduce: Reduce): tf.Tensor {
  if (x.rank !== 4 || ![height, width].every((size) => Number.isInteger(size) && size > 0))
    throw new EngineError(
      'SHAPE_MISMATCH',
      `adaptive pooling of [${x.shape}] to ${height} x ${width}: it takes images [N, H, W, C] and a size of positive integers`,
    );
  return reduceWindows(reduceWindows(x, 1, height, reduce), 2, width, reduce);
}

/** Averages images [N, H, W, C] to [N, height, width, C], whatever H and W; window i covers floor(i H / height) to ceil((i + 1) H / height), as in PyTorch. */
export function adaptiveAveragePool(x: tf.Tensor, size: readonly [number, number]): tf.Tensor {
  return adaptivePool(x, size, (part, axis, keepDims) => tf.mean(part, axis, keepDims));
}

/** The maximum over the windows of `adaptiveAveragePool`. */
export function adaptiveMaxPool(x: tf.Tensor, size: readonly [number, number]): tf.Tensor {
  return adaptivePool(x, size, (part, axis, keepDims) => tf.max(part, axis, keepDims));
}
