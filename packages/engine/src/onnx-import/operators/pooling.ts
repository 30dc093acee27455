import * as tf from '@tensorflow/tfjs-core';
import { runKernel } from '../../operations/rules.ts';
import type { Call } from '../call.ts';
import { dividedUnlessZero, euclideanNorm } from '../norms.ts';
import { alsoOneDimensional } from '../one-dimensional.ts';
import type { OnnxOperator, OperatorTable } from '../operator.ts';
import { axisOf, imagesValue, tensorOf, type Value, valueLike } from '../value.ts';
import { paddingOf, reach, type Window, type WindowAxis, windowOf } from '../windows.ts';

/** With `ceil_mode` a last window may hang over the edge, if it begins inside the image or the padding before it. */
function hanging(axis: WindowAxis, length: number): number {
  const room = length + axis.before + axis.after - reach(axis);
  const windows = Math.ceil(room / axis.stride) + 1;
  const begins = (windows - 1) * axis.stride < length + axis.before;
  return Math.max(0, ((begins ? windows : windows - 1) - 1) * axis.stride - room);
}

/** The pixels beyond the padding that the last windows of `ceil_mode` see. */
function overhang(call: Call, window: Window, x: tf.Tensor4D): readonly [number, number] {
  if (call.integer('ceil_mode', 0) === 0) return [0, 0];
  return [hanging(window[0], x.shape[1]), hanging(window[1], x.shape[2])];
}

function pool(kernel: 'MaxPool' | 'AvgPool', x: tf.Tensor, [vertical, horizontal]: Window): tf.Tensor {
  const attributes = {
    filterSize: [vertical.size, horizontal.size],
    strides: [vertical.stride, horizontal.stride],
    dilations: [vertical.dilation, horizontal.dilation],
    pad: paddingOf([vertical, horizontal]),
  };
  return runKernel(kernel, { x }, attributes);
}

function withPadding(
  [vertical, horizontal]: Window,
  change: (axis: WindowAxis, i: 0 | 1) => Partial<WindowAxis>,
): Window {
  return [
    { ...vertical, ...change(vertical, 0) },
    { ...horizontal, ...change(horizontal, 1) },
  ];
}

function windowOfPool(call: Call, x: tf.Tensor4D): Window {
  const kernel = call.integers('kernel_shape');
  if (!kernel) throw call.error('MALFORMED_FILE', 'its kernel_shape is missing');
  return windowOf(call, kernel, [x.shape[1], x.shape[2]]);
}

function maxPool(call: Call): Value {
  const x = call.images(0);
  const window = windowOfPool(call, x);
  const extra = overhang(call, window, x);
  return imagesValue(
    pool(
      'MaxPool',
      x,
      withPadding(window, ({ after }, i) => ({ after: after + extra[i] })),
    ),
  );
}

/** What hangs over never counts; padding counts if `count_include_pad` says so. */
function averagePool(call: Call): Value {
  const x = call.images(0);
  const window = windowOfPool(call, x);
  const extra = overhang(call, window, x);
  if (call.integer('count_include_pad', 0) === 0)
    return imagesValue(
      pool(
        'AvgPool',
        x,
        withPadding(window, ({ after }, i) => ({ after: after + extra[i] })),
      ),
    );
  const padded = tf.pad(x, paddingOf(window));
  return imagesValue(
    pool(
      'AvgPool',
      padded,
      withPadding(window, (_, i) => ({ before: 0, after: extra[i] })),
    ),
  );
}

/** The spatial axes reduced to one pixel. */
function globalPool(reduce: (x: tf.Tensor, axes: number[]) => tf.Tensor): OnnxOperator {
  return {
    evaluate: (call) => {
      const value = call.value(0);
      const axes = value.shape.slice(2).map((_, i) => axisOf(value, i + 2));
      return valueLike(value, reduce(tensorOf(value), axes));
    },
  };
}

/** Divides by the norm of a window of neighbouring channels (Krizhevsky et al. 2012). */
function localResponse(call: Call): Value {
  const x = call.images(0);
  const size = call.integer('size', 1);
  if (size < 1 || size > x.shape[3] * 2) throw call.error('MALFORMED_FILE', `its size is ${size}`);
  const before = Math.floor((size - 1) / 2);
  const none: [number, number] = [0, 0];
  const squares = tf.pad(tf.square(x), [none, none, none, [before, size - 1 - before]]);
  const sum = Array.from({ length: size }, (_, i) => tf.slice(squares, [0, 0, 0, i], x.shape)).reduce((a, b) =>
    tf.add(a, b),
  );
  const [alpha, beta, bias] = [call.float('alpha', 1e-4), call.float('beta', 0.75), call.float('bias', 1)];
  return imagesValue(tf.div(x, tf.pow(tf.add(bias, tf.mul(alpha / size, sum)), beta)));
}

/** Numbers along an axis divided by their norm; the zero vector stays. */
function normalizeByNorm(call: Call): Value {
  const value = call.value(0);
  const x = tensorOf(value);
  const axis = axisOf(value, call.integer('axis', -1));
  const norm = call.integer('p', 2) === 1 ? tf.sum(tf.abs(x), axis, true) : euclideanNorm(x, axis);
  return valueLike(value, dividedUnlessZero(x, norm));
}

export const poolingOperators = {
  AveragePool: alsoOneDimensional({ evaluate: averagePool }),
  GlobalAveragePool: globalPool((x, axes) => tf.mean(x, axes, true)),
  GlobalMaxPool: globalPool((x, axes) => tf.max(x, axes, true)),
  LRN: { evaluate: localResponse },
  LpNormalization: { evaluate: normalizeByNorm },
  MaxPool: alsoOneDimensional({ evaluate: maxPool }),
} satisfies OperatorTable;
