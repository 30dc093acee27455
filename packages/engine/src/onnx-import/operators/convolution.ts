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

/** Numbers of a filter that is made here: a malformed file must not make the importer write out a huge one. */
const MOST_ONES = 2 ** 22;

/** Columns `[N, C * kernel, places]` back to images `[N, C, H, W]`, where they overlap added up (PyTorch's fold): a transposed convolution whose filter picks one pixel of the window for each column. */
function columnsToImages(call: Call): Value {
  const x = call.plain(0);
  const [image, kernel] = [call.numbers(1), call.numbers(2)];
  const window = windowOf(call, kernel, image);
  const [batch = 0, columns = 0, places = 0] = x.shape;
  const pixels = kernel.reduce((product, size) => product * size, 1);
  const [rows = 0, across = 0] = window.map(
    (axis, i) => Math.floor(((image[i] ?? 0) + axis.before + axis.after - reach(axis)) / axis.stride) + 1,
  );
  if (x.shape.length !== 3 || image.length !== 2 || columns % pixels !== 0 || rows * across !== places)
    throw call.error(
      'SHAPE_MISMATCH',
      `columns [${x.shape}] are none of windows of [${kernel}] over images of [${image}]`,
    );
  if (columns * pixels > MOST_ONES)
    throw call.error('UNSUPPORTED_OPERATION', `${columns} columns of windows of [${kernel}]`);
  const channels = columns / pixels;
  const ones = Array.from({ length: pixels * columns }, (_, i) =>
    Number(Math.floor(i / columns) === (i % columns) % pixels),
  );
  const filter = tf.tensor(ones, [...kernel, 1, columns] as [number, number, number, number]);
  const dy = tf.transpose(tf.reshape(x, [batch, columns, rows, across]), [0, 2, 3, 1]);
  const inputShape = [batch, ...image, channels];
  return imagesValue(
    runKernel('Conv2DBackpropInput', { dy, filter }, { ...attributesOf(window, channels), inputShape }),
  );
}

export const convolutionOperators = {
  Col2Im: { reads: [1, 2], evaluate: columnsToImages },
  Conv: alsoOneDimensional({ evaluate: convolve }),
  ConvTranspose: alsoOneDimensional({ evaluate: convolveTransposed }),
} satisfies OperatorTable;
