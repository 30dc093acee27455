import * as tf from '@tensorflow/tfjs-core';
import { runKernel } from '../../operations/rules.ts';
import type { Call } from '../call.ts';
import type { OperatorTable } from '../operator.ts';
import { imagesValue, type Value } from '../value.ts';

/** Where a pixel of the result lies in the image: coordinates of ONNX' Resize. `scale` is to / from as the file states it. */
type Coordinate = (i: number, from: number, to: number, scale: number) => number;

/** In single precision, as runtimes compute them: which pixel is the nearest hangs on the last bit. */
const single = Math.fround;
const halfPixel: Coordinate = (i, _, __, scale) => single(single((i + 0.5) / scale) - 0.5);

const COORDINATES: Readonly<Record<string, Coordinate>> = {
  align_corners: (i, from, to) => (to > 1 ? single((i * (from - 1)) / (to - 1)) : 0),
  asymmetric: (i, _, __, scale) => single(i / scale),
  half_pixel: halfPixel,
  pytorch_half_pixel: (i, from, to, scale) => (to > 1 ? halfPixel(i, from, to, scale) : 0),
  tf_half_pixel_for_nn: (i, _, __, scale) => single((i + 0.5) / scale),
};

/** The pixel that is nearest to a place. */
const NEAREST: Readonly<Record<string, (place: number) => number>> = {
  round_prefer_floor: (place) => Math.ceil(place - 0.5),
  round_prefer_ceil: (place) => Math.floor(place + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

type Taps = readonly (readonly [pixel: number, weight: number])[];

/** The pixels that a place is interpolated from, with their weights. */
function tapsAt(place: number, mode: string, a: number): Taps {
  const base = Math.floor(place);
  const t = place - base;
  if (mode === 'linear')
    return [
      [base, 1 - t],
      [base + 1, t],
    ];
  // Keys 1981, with the coefficient a
  const near = (x: number) => ((a + 2) * x - (a + 3)) * x * x + 1;
  const far = (x: number) => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return [
    [base - 1, far(1 + t)],
    [base, near(t)],
    [base + 1, near(1 - t)],
    [base + 2, far(2 - t)],
  ];
}

/** The matrix [to, from] that interpolates an axis. */
function interpolation(places: readonly number[], from: number, mode: string, a: number): tf.Tensor {
  const weights = new Float32Array(places.length * from);
  for (const [row, place] of places.entries())
    for (const [pixel, weight] of tapsAt(place, mode, a)) {
      const column = row * from + Math.min(from - 1, Math.max(0, pixel));
      weights[column] = (weights[column] ?? 0) + weight;
    }
  return tf.tensor(weights, [1, places.length, from]);
}

interface Axis {
  readonly from: number;
  /** For each pixel of the result its place in the image. */
  readonly places: readonly number[];
}

function axesOf(call: Call, x: tf.Tensor4D): [Axis, Axis] {
  const isUpsample = call.node.operator === 'Upsample';
  const scalesAt = isUpsample || call.opset < 11 ? 1 : 2;
  const scales =
    isUpsample && call.hasAttribute('scales')
      ? [...(call.floats('scales') ?? [])]
      : call.has(scalesAt)
        ? call.numbers(scalesAt)
        : [];
  const sizes = call.opset >= 11 && call.has(3) ? call.numbers(3) : [];
  const axes = call.integers('axes') ?? [...Array(Math.max(scales.length, sizes.length)).keys()];
  const policy = call.text('keep_aspect_ratio_policy', 'stretch') || 'stretch';
  if (policy !== 'stretch')
    throw call.error('UNSUPPORTED_OPERATION', `keep_aspect_ratio_policy '${policy}': only stretch`);
  const name = call.opset < 11 ? 'asymmetric' : call.text('coordinate_transformation_mode', 'half_pixel');
  const coordinate = COORDINATES[name];
  if (!coordinate)
    throw call.error(
      'UNSUPPORTED_OPERATION',
      `coordinates '${name}'; there are ${Object.keys(COORDINATES).join(', ')}`,
    );
  const resized = (axis: number, from: number): Axis => {
    const i = axes.findIndex((given) => (given + 4) % 4 === axis);
    const wanted = i < 0 ? undefined : sizes[i];
    const scale = i < 0 ? 1 : single(wanted === undefined ? (scales[i] ?? 1) : wanted / from);
    const to = wanted ?? Math.floor(single(from * scale));
    if (!(Number.isInteger(to) && to >= 1 && to <= 4096))
      throw call.error('MALFORMED_FILE', `axis ${axis} would have ${to} pixels`);
    return { from, places: Array.from({ length: to }, (_, pixel) => coordinate(pixel, from, to, scale)) };
  };
  for (const [axis, length] of [
    [0, x.shape[0]],
    [1, x.shape[3]],
  ] as const)
    if (resized(axis, length).places.length !== length)
      throw call.error('UNSUPPORTED_OPERATION', 'only height and width can be resized');
  return [resized(2, x.shape[1]), resized(3, x.shape[2])];
}

function resizeNearest(call: Call, x: tf.Tensor4D, axes: readonly [Axis, Axis]): tf.Tensor {
  const mode = call.opset < 11 ? 'floor' : call.text('nearest_mode', 'round_prefer_floor');
  const round = NEAREST[mode];
  if (!round)
    throw call.error('UNSUPPORTED_OPERATION', `nearest_mode '${mode}'; there are ${Object.keys(NEAREST).join(', ')}`);
  const sources = axes.map(({ places, from }) => places.map((place) => Math.min(from - 1, Math.max(0, round(place)))));
  const isRepeat = axes.every(({ places, from }, i) => {
    const times = places.length / from;
    return Number.isInteger(times) && sources[i]?.every((source, pixel) => source === Math.floor(pixel / times));
  });
  if (isRepeat) {
    const size = axes.map(({ places }) => places.length);
    return runKernel('ResizeNearestNeighbor', { images: x }, { size, alignCorners: false, halfPixelCenters: false });
  }
  return sources.reduce((images: tf.Tensor, list, i) => tf.gather(images, tf.tensor1d(list, 'int32'), i + 1), x);
}

/** One product with a constant matrix for each axis. */
function interpolate(
  x: tf.Tensor4D,
  [vertical, horizontal]: readonly [Axis, Axis],
  mode: string,
  a: number,
): tf.Tensor {
  const [n, height, width, channels] = x.shape;
  const [tall, wide] = [vertical.places.length, horizontal.places.length];
  const columns = tf.reshape(x, [n, height, width * channels]);
  const stretched = tf.matMul(interpolation(vertical.places, height, mode, a), columns);
  const lines = tf.reshape(stretched, [n * tall, width, channels]);
  return tf.reshape(tf.matMul(interpolation(horizontal.places, width, mode, a), lines), [n, tall, wide, channels]);
}

function resize(call: Call): Value {
  const x = call.images(0);
  const axes = axesOf(call, x);
  const mode = call.text('mode', 'nearest');
  if (call.integer('antialias', 0) === 1 || call.integer('exclude_outside', 0) === 1)
    throw call.error('UNSUPPORTED_OPERATION', 'antialias and exclude_outside are not supported');
  if (mode === 'nearest') return imagesValue(resizeNearest(call, x, axes));
  if (mode === 'linear' || mode === 'bilinear' || mode === 'cubic')
    return imagesValue(interpolate(x, axes, mode === 'cubic' ? mode : 'linear', call.float('cubic_coeff_a', -0.75)));
  throw call.error('UNSUPPORTED_OPERATION', `its mode is '${mode}'; there are nearest, linear, cubic`);
}

export const resizingOperators = {
  Resize: { reads: [1, 2, 3], evaluate: resize },
  Upsample: { reads: [1], evaluate: resize },
} satisfies OperatorTable;
