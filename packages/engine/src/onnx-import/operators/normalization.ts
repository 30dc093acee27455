import * as tf from '@tensorflow/tfjs-core';
import { type Call, normalAxis } from '../call.ts';
import type { OperatorTable } from '../operator.ts';
import { axisOf, imagesValue, plainValue, tensorOf, type Value, valueLike } from '../value.ts';

/** A list of one number a channel, shaped to broadcast over the tensor of a value [N, C, ...]. */
function perChannel(value: Value, list: tf.Tensor): tf.Tensor {
  if (value.layout === 'images' || value.shape.length === 2) return list;
  return tf.reshape(list, [list.size, ...value.shape.slice(2).map(() => 1)]);
}

/** Images come as [N, H, W, C] whatever they were before: so do the convolutions around them. */
function asImages(call: Call): Value {
  const value = call.value(0);
  return value.shape.length === 4 ? imagesValue(call.images(0)) : value;
}

function batchNormalization(call: Call): Value {
  // before operator set 14 further outputs mean training
  const isTraining = call.opset < 14 ? call.node.outputs.length > 1 : call.integer('training_mode', 0) === 1;
  const value = asImages(call);
  const [scale, bias] = [call.plain(1), call.plain(2)];
  if (isTraining) {
    if (call.dependsOnImages)
      throw call.error('UNSUPPORTED_OPERATION', 'training mode: export the model after model.eval()');
    // weights that are standardised before they are convolved with (Qiao et al. 2019): their own mean and variance
    const axes = value.shape.flatMap((_, axis) => (axis === 1 ? [] : axisOf(value, axis)));
    const normal = standardized(tensorOf(value), axes, call.float('epsilon', 1e-5));
    return valueLike(value, tf.add(tf.mul(normal, perChannel(value, scale)), perChannel(value, bias)));
  }
  const [mean, variance] = [call.plain(3), call.plain(4)];
  const factor = tf.mul(scale, tf.rsqrt(tf.add(variance, call.float('epsilon', 1e-5))));
  const offset = tf.sub(bias, tf.mul(mean, factor));
  return valueLike(value, tf.add(tf.mul(tensorOf(value), perChannel(value, factor)), perChannel(value, offset)));
}

/** Mean 0 and variance 1 over the axes. */
function standardized(x: tf.Tensor, axes: number[], epsilon: number): tf.Tensor {
  const centred = tf.sub(x, tf.mean(x, axes, true));
  return tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), axes, true), epsilon)));
}

function layerNormalization(call: Call): Value {
  const x = call.plain(0);
  const first = normalAxis(call, call.integer('axis', -1), x.rank);
  const axes = Array.from({ length: x.rank - first }, (_, i) => first + i);
  const scaled = tf.mul(standardized(x, axes, call.float('epsilon', 1e-5)), call.plain(1));
  return plainValue(call.has(2) ? tf.add(scaled, call.plain(2)) : scaled);
}

function rootMeanSquare(call: Call): Value {
  const x = call.plain(0);
  const first = normalAxis(call, call.integer('axis', -1), x.rank);
  const axes = Array.from({ length: x.rank - first }, (_, i) => first + i);
  const norm = tf.rsqrt(tf.add(tf.mean(tf.square(x), axes, true), call.float('epsilon', 1e-5)));
  return plainValue(tf.mul(tf.mul(x, norm), call.plain(1)));
}

function instanceNormalization(call: Call): Value {
  const value = asImages(call);
  const axes = value.shape.slice(2).map((_, i) => axisOf(value, i + 2));
  const normal = standardized(tensorOf(value), axes, call.float('epsilon', 1e-5));
  return valueLike(value, tf.add(tf.mul(normal, perChannel(value, call.plain(1))), perChannel(value, call.plain(2))));
}

/** Scale and bias are one number a group until operator set 20, one a channel from 21 on; PyTorch writes what is below 21 by hand. */
function groupNormalization(call: Call): Value {
  const x = call.images(0);
  const groups = call.integer('num_groups', 1);
  const [n, height, width, channels] = x.shape;
  if (groups < 1 || channels % groups !== 0)
    throw call.error('SHAPE_MISMATCH', `${channels} channels cannot be split into ${groups} groups`);
  const split = tf.reshape(x, [n, height, width, groups, channels / groups]);
  const normal = standardized(split, [1, 2, 4], call.float('epsilon', 1e-5));
  const full = (list: tf.Tensor) =>
    list.size === groups ? tf.reshape(list, [groups, 1]) : tf.reshape(list, [groups, channels / groups]);
  const scaled = tf.add(tf.mul(normal, full(call.plain(1))), full(call.plain(2)));
  return imagesValue(tf.reshape(scaled, x.shape));
}

/** exp(x) / sum(exp(x)) over one axis; before operator set 13 over all axes from `axis` on. */
function softmax(call: Call, f: (x: tf.Tensor) => tf.Tensor): Value {
  const value = call.value(0);
  if (call.opset < 13) {
    const x = call.plain(0);
    const axis = normalAxis(call, call.integer('axis', 1), x.rank, x.rank);
    const size = x.shape.slice(axis).reduce((product, dimension) => product * dimension, 1);
    return plainValue(tf.reshape(f(tf.reshape(x, [x.size / size, size])), x.shape));
  }
  const axis = axisOf(value, call.integer('axis', -1));
  const x = tensorOf(value);
  if (axis === x.rank - 1) return valueLike(value, f(x));
  const order = x.shape.map((_, i) => (i === axis ? x.rank - 1 : i === x.rank - 1 ? axis : i));
  return valueLike(value, tf.transpose(f(tf.transpose(x, order)), order));
}

function meanVariance(call: Call): Value {
  const value = call.value(0);
  const axes = (call.integers('axes') ?? [0, 2, 3]).map((axis) => axisOf(value, axis));
  return valueLike(value, standardized(tensorOf(value), axes, 1e-9));
}

export const normalizationOperators = {
  BatchNormalization: { evaluate: batchNormalization },
  GroupNormalization: { evaluate: groupNormalization },
  InstanceNormalization: { evaluate: instanceNormalization },
  LayerNormalization: { evaluate: layerNormalization },
  LogSoftmax: { evaluate: (call) => softmax(call, (x) => tf.logSoftmax(x)) },
  MeanVarianceNormalization: { evaluate: meanVariance },
  RMSNormalization: { evaluate: rootMeanSquare },
  Softmax: { evaluate: (call) => softmax(call, (x) => tf.softmax(x)) },
} satisfies OperatorTable;
