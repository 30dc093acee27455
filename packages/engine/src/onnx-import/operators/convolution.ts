import * as tf from '@tensorflow/tfjs-core';
import { runKernel } from '../../operations/rules.ts';
import type { Call } from '../call.ts';
import type { OperatorTable } from '../operator.ts';
import { imagesValue, type Value } from '../value.ts';
import { paddingOf, reach, splitPadding, type Window, windowOf } from '../windows.ts';

/** A filter with zeros between its taps: [kh, kw, ...] -> [(kh - 1) * dh + 1, (kw - 1) * dw + 1, ...]. */
function dilated(filter: tf.Tensor4D, [vertical, horizontal]: Window): tf.Tensor4D {
  const [kh, kw, i, o] = filter.shape;
  const [dh, dw] = [vertical.dilation, horizontal.dilation];
  if (dh === 1 && dw === 1) return filter;
  const none: [number, number] = [0, 0];
  const spread = tf.pad(tf.reshape(filter, [kh, 1, kw, 1, i, o]), [none, [0, dh - 1], none, [0, dw - 1], none, none]);
  const grid = tf.reshape(spread, [kh * dh, kw * dw, i, o]);
  return tf.slice(grid, [0, 0, 0, 0], [reach(vertical), reach(horizontal), i, o]) as tf.Tensor4D;
}

function attributesOf(window: Window) {
  const [vertical, horizontal] = window;
  return { strides: [vertical.stride, horizontal.stride], pad: paddingOf(window), dataFormat: 'NHWC', dilations: 1 };
}

/** The parts of a tensor along its last axis. */
function groupsOf(tensor: tf.Tensor, groups: number, axis: number): tf.Tensor4D[] {
  return groups === 1 ? [tensor as tf.Tensor4D] : (tf.split(tensor, groups, axis) as tf.Tensor4D[]);
}

/** Adds the bias [C], if there is one, to images [N, H, W, C]. */
function withBias(call: Call, images: tf.Tensor): Value {
  return imagesValue(call.has(2) ? tf.add(images, call.plain(2)) : images);
}

function checkGroups(call: Call, channels: number, weightChannels: number, groups: number): void {
  if (groups < 1 || channels % groups !== 0 || weightChannels !== channels)
    throw call.error('SHAPE_MISMATCH', `${channels} channels in ${groups} groups meet weights for ${weightChannels}`);
}

function kernelOf(call: Call, x: tf.Tensor4D, weight: Value): Window {
  const [kernel, given] = [weight.shape.slice(2), call.integers('kernel_shape')];
  if (given && given.join() !== kernel.join())
    throw call.error('SHAPE_MISMATCH', `its kernel_shape is [${given}], its weights are for [${kernel}]`);
  return windowOf(call, kernel, [x.shape[1], x.shape[2]]);
}

function convolve(call: Call): Value {
  const x = call.images(0);
  const weight = call.value(1);
  const groups = call.integer('group', 1);
  const window = kernelOf(call, x, weight);
  const [outputs = 0, perGroup = 0, kh = 0, kw = 0] = weight.shape;
  checkGroups(call, x.shape[3], perGroup * groups, groups);
  const attributes = attributesOf(window);
  if (groups > 1 && perGroup === 1) {
    // weights [C * m, 1, kh, kw] -> [kh, kw, C, m]
    const split = tf.reshape(call.plain(1), [groups, outputs / groups, kh, kw]);
    const filter = dilated(tf.transpose(split, [2, 3, 0, 1]) as tf.Tensor4D, window);
    return withBias(call, runKernel('DepthwiseConv2dNative', { x, filter }, attributes));
  }
  // weights [O, I, kh, kw] -> [kh, kw, I, O]
  const filter = dilated(tf.transpose(call.plain(1), [2, 3, 1, 0]) as tf.Tensor4D, window);
  const filters = groupsOf(filter, groups, 3);
  const parts = groupsOf(x, groups, 3).map((part, i) =>
    runKernel('Conv2D', { x: part, filter: filters[i] ?? filter }, attributes),
  );
  return withBias(call, parts.length === 1 && parts[0] ? parts[0] : tf.concat(parts, 3));
}

/** Paddings of the convolution whose input gradient this is, and the size of the result. */
function transposedAxis(call: Call, window: Window, x: tf.Tensor4D, i: 0 | 1) {
  const axis = window[i];
  const extra = call.integers('output_padding')?.[i] ?? 0;
  const full = axis.stride * ((x.shape[i + 1] ?? 1) - 1) + extra + reach(axis);
  const autoPad = call.text('auto_pad', 'NOTSET') || 'NOTSET';
  const wanted = call.integers('output_shape')?.slice(-2)[i];
  if (wanted === undefined && (autoPad === 'NOTSET' || autoPad === 'VALID'))
    return { ...axis, size: axis.size, length: full - axis.before - axis.after };
  const length = wanted ?? (x.shape[i + 1] ?? 1) * axis.stride;
  const total = Math.max(0, full - length);
  return { ...axis, ...splitPadding(call, autoPad === 'SAME_UPPER' ? autoPad : 'SAME_LOWER', total), length };
}

function convolveTransposed(call: Call): Value {
  const x = call.images(0);
  const weight = call.value(1);
  const groups = call.integer('group', 1);
  const [inputs = 0, perGroup = 0] = weight.shape;
  checkGroups(call, x.shape[3], inputs, groups);
  const given = kernelOf(call, x, weight);
  const [vertical, horizontal] = [transposedAxis(call, given, x, 0), transposedAxis(call, given, x, 1)];
  const attributes = {
    ...attributesOf([vertical, horizontal]),
    inputShape: [x.shape[0], vertical.length, horizontal.length, perGroup],
  };
  // weights [I, O, kh, kw] -> [kh, kw, O, I]
  const filter = dilated(tf.transpose(call.plain(1), [2, 3, 1, 0]) as tf.Tensor4D, given);
  const filters = groupsOf(filter, groups, 3);
  const parts = groupsOf(x, groups, 3).map((part, i) =>
    runKernel('Conv2DBackpropInput', { dy: part, filter: filters[i] ?? filter }, attributes),
  );
  return withBias(call, parts.length === 1 && parts[0] ? parts[0] : tf.concat(parts, 3));
}

export const convolutionOperators = {
  Conv: { evaluate: convolve },
  ConvTranspose: { evaluate: convolveTransposed },
} satisfies OperatorTable;
