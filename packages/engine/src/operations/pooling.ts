import * as tf from '@tensorflow/tfjs-core';
import { dimensions4 } from '../onnx/layout.ts';
import { pool } from '../onnx/pooling.ts';
import { type Composite, type Inferred, type Operation, type Primitive, primitive } from './operation.ts';
import { asFloat, pair, runKernel, single } from './rules.ts';
import { real, type Sample, sample } from './samples.ts';
import { type WindowAttributes, windowTaps } from './windows.ts';

type PoolAttributes = WindowAttributes & { filterSize: number | readonly number[] };
type Images = { readonly shape: readonly number[] };

function sizeOfWindow({ filterSize }: PoolAttributes): [number, number] {
  return typeof filterSize === 'number' ? [filterSize, filterSize] : pair(filterSize);
}

/** What is left of the images if windows of this size tile them; `undefined` if the windows overlap, have gaps, are padded or hang over. */
function tiledPart(x: Images, attributes: PoolAttributes): [number, number, number, number] | undefined {
  const [n, height, width, channels] = dimensions4(x.shape);
  const { dilations = 1 } = attributes;
  const { padInfo, ...info } = tf.backend_util.computePool2DInfo(
    [n, height, width, channels],
    sizeOfWindow(attributes),
    attributes.strides as number | [number, number],
    dilations as number | [number, number],
    attributes.pad as 'same',
    attributes.dimRoundingMode,
  );
  const [kh, kw] = sizeOfWindow(attributes);
  const isPadded = [padInfo.top, padInfo.bottom, padInfo.left, padInfo.right].some((width) => width !== 0);
  const hasGaps = info.effectiveFilterHeight !== kh || info.effectiveFilterWidth !== kw;
  if (isPadded || hasGaps || kh !== info.strideHeight || kw !== info.strideWidth) return undefined;
  const [tall, wide] = [info.outHeight * kh, info.outWidth * kw];
  return tall > height || wide > width ? undefined : [n, tall, wide, channels];
}

/** The row of a pooling: recorded if windows tile the images, otherwise composed of what each place of the window sees. */
function pooling(
  operator: 'MaxPool' | 'AveragePool',
  call: (x: tf.Tensor4D, size: [number, number], strides: [number, number], pad: 'valid') => tf.Tensor,
  overlapping: Composite<PoolAttributes>['compose'],
  row: Pick<Primitive<PoolAttributes>, 'gradient' | 'samples'>,
): Primitive {
  return primitive<PoolAttributes>({
    ...row,
    inputs: ['x'],
    compose(inputs, attributes, context) {
      const x = single(inputs);
      const tiled = tiledPart(x, attributes);
      if (!tiled) return single([overlapping(inputs, attributes, context)].flat());
      if (tiled[1] === x.shape[1] && tiled[2] === x.shape[2]) return undefined;
      const size = sizeOfWindow(attributes);
      return call(tf.slice(x, [0, 0, 0, 0], tiled) as tf.Tensor4D, size, size, 'valid');
    },
    infer(inputs, attributes): Inferred {
      const [n, height, width, channels] = dimensions4(single(inputs).shape);
      const [kh, kw] = sizeOfWindow(attributes);
      return {
        shape: [n, height / kh, width / kw, channels],
        dtype: 'float32',
        attributes: { filterSize: [kh, kw], strides: [kh, kw], pad: 'valid' },
      };
    },
    lower: (graph, inputs, { shape }) => pool(graph, operator, single(inputs), shape),
  });
}

/** The adjoint of adding up windows. */
function repeated(images: tf.Tensor, like: Images): tf.Tensor {
  const size = [like.shape[1] ?? 1, like.shape[2] ?? 1];
  return runKernel('ResizeNearestNeighbor', { images }, { size, alignCorners: false, halfPixelCenters: false });
}

/** Smaller than any value that matters, and harmless when it is multiplied by zero, unlike an infinity. */
const LOWEST = -3e38;

/** Neighbours that differ by more than differences move them, so that these do not cross a tie. */
const distinct = (x: tf.Tensor) => {
  const order = Array.from({ length: x.size }, (_, i) => ((i * 37) % 101) / 25);
  return tf.add(tf.mul(x, 0.01), tf.tensor(order, x.shape));
};

type Pool = (
  x: tf.Tensor4D,
  size: number,
  strides: number,
  pad: 'same' | 'valid' | number,
  rounding?: 'ceil',
) => tf.Tensor4D;

function samplesOf(call: Pool): Sample[] {
  const on =
    (...window: [size: number, strides: number, pad: 'same' | 'valid' | number, rounding?: 'ceil']) =>
    (x: tf.Tensor) =>
      tf.square(call(distinct(x) as tf.Tensor4D, ...window));
  const identity = () => tf.reshape(tf.eye(16), [1, 1, 16, 16]) as tf.Tensor4D;
  const blocked = (x: tf.Tensor) => tf.conv2d(distinct(x) as tf.Tensor4D, identity(), 1, 'same');
  return [
    sample([real([2, 4, 6, 3])], on(2, 2, 'valid')),
    sample([real([2, 4, 4, 16])], on(2, 2, 'same')),
    sample([real([2, 4, 6, 16])], (x) => tf.square(call(blocked(x), 2, 2, 'valid')), { tolerance: 1e-4 }),
    sample([real([1, 5, 5, 2])], on(2, 2, 'valid')),
    sample([real([1, 5, 6, 2])], on(3, 2, 'same')),
    sample([real([1, 5, 5, 2])], on(3, 1, 1)),
    sample([real([1, 5, 4, 2])], on(2, 2, 0, 'ceil')),
  ];
}

export const poolings = {
  MaxPool: pooling(
    'MaxPool',
    tf.maxPool,
    (inputs, attributes) => {
      const { taps } = windowTaps(single(inputs), sizeOfWindow(attributes), attributes, LOWEST);
      return taps.reduce((largest, tap) => tf.maximum(largest, tap));
    },
    {
      // all places of a window that attain the maximum share the gradient
      gradient: ({ dy, inputs, output, attributes }) => [
        () => {
          const x = single(inputs) as tf.Tensor4D;
          const [kh, kw] = sizeOfWindow(attributes);
          const attained = asFloat(tf.equal(x, repeated(output, x))) as tf.Tensor4D;
          const count = tf.mul(tf.avgPool(attained, [kh, kw], [kh, kw], 'valid'), kh * kw);
          return tf.mul(attained, repeated(tf.div(dy, count), x));
        },
      ],
      samples: samplesOf(tf.maxPool),
    },
  ),
  // padding does not count
  AvgPool: pooling(
    'AveragePool',
    tf.avgPool,
    (inputs, attributes) => {
      const { taps, count, outHeight, outWidth } = windowTaps(single(inputs), sizeOfWindow(attributes), attributes, 0);
      const sum = taps.reduce((total, tap) => tf.add(total, tap));
      return tf.div(sum, tf.tensor(count, [outHeight, outWidth, 1]));
    },
    {
      gradient: ({ dy, inputs, attributes }) => [
        () => {
          const [kh, kw] = sizeOfWindow(attributes);
          return repeated(tf.div(dy, kh * kw), single(inputs));
        },
      ],
      samples: samplesOf(tf.avgPool),
    },
  ),
} satisfies Record<string, Operation>;
