import * as tf from '@tensorflow/tfjs-core';
import { runKernel } from '../../operations/rules.ts';
import type { Call } from '../call.ts';
import { alsoOneDimensional } from '../one-dimensional.ts';
import type { OperatorTable } from '../operator.ts';
import { imagesValue, type Value } from '../value.ts';
import { paddingOf, reach, splitPadding, type Window, windowOf } from '../windows.ts';

function attributesOf(window: Window, groups: number) {
  const [vertical, horizontal] = window;
  return {
    strides: [vertical.stride, horizontal.stride],
    pad: paddingOf(window),
    dataFormat: 'NHWC',
    dilations: [vertical.dilation, horizontal.dilation],
    groups,
  };
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
  const [outputs = 0, perGroup = 0] = weight.shape;
  checkGroups(call, x.shape[3], perGroup * groups, groups);
  if (outputs % groups !== 0) throw call.error('SHAPE_MISMATCH', `${groups} groups make ${outputs} channels`);
  const filter = tf.transpose(call.plain(1), [2, 3, 1, 0]); // [O, I / groups, kh, kw] -> [kh, kw, I / groups, O]
  return withBias(call, runKernel('Conv2D', { x, filter }, attributesOf(window, groups)));
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
    ...attributesOf([vertical, horizontal], groups),
    inputShape: [x.shape[0], vertical.length, horizontal.length, perGroup * groups],
  };
  // [I, O / groups, kh, kw]: every group makes its O / groups from its I / groups, which are neighbours -> [kh, kw, O / groups, I]
  const filter = tf.transpose(call.plain(1), [2, 3, 1, 0]);
  return withBias(call, runKernel('Conv2DBackpropInput', { dy: x, filter }, attributes));
}

export const convolutionOperators = {
  Conv: alsoOneDimensional({ evaluate: convolve }),
  ConvTranspose: alsoOneDimensional({ evaluate: convolveTransposed }),
} satisfies OperatorTable;
