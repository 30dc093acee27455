import * as tf from '@tensorflow/tfjs-core';
import { type Call, laid } from '../call.ts';
import { euclideanNorm } from '../norms.ts';
import type { OnnxOperator, OperatorTable } from '../operator.ts';
import { axisOf, plainOf, plainValue, type Value, valueLike } from '../value.ts';

type Reduce = (x: tf.Tensor, axes: number[]) => tf.Tensor;

/** A reduction that keeps its axes as 1; `keepdims` decides what becomes of them. */
function reduction(reduce: Reduce): OnnxOperator {
  return {
    reads: [1],
    evaluate: (call) => {
      const { value, tensor } = laid(call, 0);
      const given = call.numbersOf('axes', 1) ?? [];
      if (given.length === 0 && call.integer('noop_with_empty_axes', 0) === 1) return value;
      const axes = given.length > 0 ? given : value.shape.map((_, i) => i);
      const result = valueLike(
        value,
        reduce(
          tensor,
          axes.map((axis) => axisOf(value, axis)),
        ),
      );
      return call.integer('keepdims', 1) === 1 ? result : without(result, axes);
    },
  };
}

/** The value without axes that are 1. */
function without(value: Value, axes: readonly number[]): Value {
  const gone = axes.map((axis) => (axis < 0 ? axis + value.shape.length : axis));
  return plainValue(
    tf.reshape(
      plainOf(value),
      value.shape.filter((_, i) => !gone.includes(i)),
    ),
  );
}

/** log(sum(exp(x))), shifted by the maximum, through which no gradient flows. */
function logSumExp(x: tf.Tensor, axes: number[]): tf.Tensor {
  const max = tf.max(x, axes, true);
  return tf.add(tf.log(tf.sum(tf.exp(tf.sub(x, max)), axes, true)), max);
}

/** The product of what lies along the axes, slice by slice: exact where a factor is zero. */
function product(x: tf.Tensor, axes: number[]): tf.Tensor {
  return axes.reduce((rest, axis) => {
    const parts = tf.split(rest, rest.shape[axis] ?? 1, axis);
    return parts.reduce((a, b) => tf.mul(a, b));
  }, x);
}

/** Place of the largest (smallest) number along an axis, the first of equals. */
function argument(find: (x: tf.Tensor, axis: number) => tf.Tensor): OnnxOperator {
  return {
    evaluate: (call) => {
      if (call.integer('select_last_index', 0) === 1)
        throw call.error('UNSUPPORTED_OPERATION', 'select_last_index: only the first of equal numbers is found');
      const x = call.plain(0);
      const axis = axisOf(plainValue(x), call.integer('axis', 0));
      const place = find(x, axis);
      const kept = x.shape.map((dimension, i) => (i === axis ? 1 : dimension));
      return plainValue(call.integer('keepdims', 1) === 1 ? tf.reshape(place, kept) : place);
    },
  };
}

function runningSum(call: Call): Value {
  const x = call.plain(0);
  const axis = axisOf(plainValue(x), call.numbers(1)[0] ?? 0);
  return plainValue(tf.cumsum(x, axis, call.integer('exclusive', 0) === 1, call.integer('reverse', 0) === 1));
}

/** Most numbers that TopK takes: it finds one after the other. */
const MOST = 64;

/** The k largest numbers along an axis in falling order, and their places: each is found after the ones before it are taken out. */
function topK(call: Call): Value[] {
  const x = call.plain(0);
  const axis = axisOf(plainValue(x), call.integer('axis', -1));
  const k = call.hasAttribute('k') ? call.integer('k', 1) : (call.numbers(1)[0] ?? 1);
  const length = x.shape[axis] ?? 0;
  if (k < 1 || k > Math.min(MOST, length))
    throw call.error('UNSUPPORTED_OPERATION', `the ${k} largest of ${length} numbers; at most ${MOST} are supported`);
  const sign = call.integer('largest', 1) === 1 ? 1 : -1;
  const order = x.shape.map((_, i) => (i === axis ? x.rank - 1 : i === x.rank - 1 ? axis : i));
  const last = tf.transpose(x, order);
  let left = tf.mul(last, sign);
  const found = Array.from({ length: k }, () => {
    const place = tf.argMax(left, -1);
    const isPlace = tf.cast(tf.oneHot(place as tf.Tensor1D, length), 'float32');
    left = tf.where(tf.cast(isPlace, 'bool'), tf.fill(left.shape, -3e38), left);
    return { place, value: tf.sum(tf.mul(last, isPlace), -1) };
  });
  const along = (parts: tf.Tensor[]) => plainValue(tf.transpose(tf.stack(parts, -1), order));
  return [along(found.map(({ value }) => value)), along(found.map(({ place }) => place))];
}

export const reductionOperators = {
  ArgMax: argument((x, axis) => tf.argMax(x, axis)),
  ArgMin: argument((x, axis) => tf.argMin(x, axis)),
  CumSum: { reads: [1], evaluate: runningSum },
  ReduceL1: reduction((x, axes) => tf.sum(tf.abs(x), axes, true)),
  ReduceL2: reduction(euclideanNorm),
  ReduceLogSum: reduction((x, axes) => tf.log(tf.sum(x, axes, true))),
  ReduceLogSumExp: reduction(logSumExp),
  ReduceMax: reduction((x, axes) => tf.max(x, axes, true)),
  ReduceMean: reduction((x, axes) => tf.mean(x, axes, true)),
  ReduceMin: reduction((x, axes) => tf.min(x, axes, true)),
  ReduceProd: reduction(product),
  ReduceSum: reduction((x, axes) => tf.sum(x, axes, true)),
  ReduceSumSquare: reduction((x, axes) => tf.sum(tf.square(x), axes, true)),
  TopK: { reads: [1], evaluate: topK },
} satisfies OperatorTable;
