import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import { at } from '../onnx/graph.ts';
import { dimensions4 } from '../onnx/layout.ts';
import { composite, type Operation } from './operation.ts';
import { single } from './rules.ts';
import { real, sample } from './samples.ts';

type Shape = readonly number[];
type StridedSliceAttributes = { begin: Shape; end: Shape; strides: Shape } & Record<
  'beginMask' | 'endMask' | 'ellipsisMask' | 'newAxisMask' | 'shrinkAxisMask',
  number
>;

/** The places `index(0)`, `index(1)`, ... of one axis. */
function pick(x: tf.Tensor, axis: number, length: number, index: (i: number) => number): tf.Tensor {
  return tf.gather(
    x,
    Array.from({ length }, (_, i) => index(i)),
    axis,
  );
}

/** Where TensorFlow.js moves pixels without computing: all by reshaping, transposing, slicing and gathering. */
export const spaces = {
  MirrorPad: composite<{ paddings: readonly Shape[]; mode: 'reflect' | 'symmetric' }>({
    inputs: ['x'],
    compose(inputs, { paddings, mode }) {
      const edge = mode === 'reflect' ? 0 : 1;
      return paddings.reduce((x: tf.Tensor, [before = 0, after = 0], axis) => {
        const size = at(x.shape, axis);
        if (before === 0 && after === 0) return x;
        return pick(x, axis, before + size + after, (i) => {
          const place = i - before;
          return place < 0 ? -place - edge : place >= size ? 2 * (size - 1) - place + edge : place;
        });
      }, single(inputs));
    },
    samples: (['reflect', 'symmetric'] as const).flatMap((mode) => [
      sample([real([3, 4])], (x) =>
        tf.square(
          tf.mirrorPad(
            x,
            [
              [1, 2],
              [2, 0],
            ],
            mode,
          ),
        ),
      ),
      sample([real([1, 3, 2, 2, 2])], (x) =>
        tf.square(
          tf.mirrorPad(
            x,
            [
              [0, 0],
              [2, 1],
              [1, 1],
              [0, 0],
              [0, 1],
            ],
            mode,
          ),
        ),
      ),
    ]),
  }),
  StridedSlice: composite<StridedSliceAttributes>({
    inputs: ['x'],
    compose(inputs, { begin, end, strides, beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask }) {
      const x = single(inputs);
      const masks = [beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask] as const;
      const info = tf.slice_util.sliceInfo(x.shape, [...begin], [...end], [...strides], ...masks);
      const lengths = tf.slice_util.computeOutShape(info.begin, info.end, info.strides);
      const picked = lengths.reduce((part: tf.Tensor, length, axis) => {
        const [first, step] = [at(info.begin, axis), at(info.strides, axis)];
        if (first === 0 && step === 1 && length === part.shape[axis]) return part;
        return pick(part, axis, length, (i) => first + i * step);
      }, x);
      return tf.reshape(picked, info.finalShape);
    },
    samples: [
      sample([real([5, 6])], (x) => tf.square(tf.stridedSlice(x, [0, 1], [5, 6], [2, 3]))),
      sample([real([5, 4])], (x) => tf.square(tf.stridedSlice(x, [4, 0], [0, 4], [-2, 1]))),
      sample([real([4, 3, 2])], (x) => tf.square(tf.stridedSlice(x, [1, 0, 0], [2, 2, 2], [1, 1, 1], 0, 0, 0, 0, 1))),
    ],
  }),
  FlipLeftRight: composite({
    inputs: ['image'],
    compose: (inputs) => tf.reverse(single(inputs), 2),
    samples: [sample([real([2, 2, 3, 2])], (x) => tf.square(tf.image.flipLeftRight(x as tf.Tensor4D)))],
  }),
  DepthToSpace: composite<{ blockSize: number; dataFormat: string }>({
    inputs: ['x'],
    compose(inputs, { blockSize: b, dataFormat }) {
      if (dataFormat !== 'NHWC')
        throw new EngineError('UNSUPPORTED_OPERATION', `DepthToSpace of ${dataFormat} images: only NHWC`);
      const x = single(inputs);
      const [n, height, width, channels] = dimensions4(x.shape);
      const depth = channels / (b * b);
      const split = tf.transpose(tf.reshape(x, [n, height, width, b, b, depth]), [0, 1, 3, 2, 4, 5]);
      return tf.reshape(split, [n, height * b, width * b, depth]);
    },
    samples: [sample([real([2, 2, 3, 8])], (x) => tf.square(tf.depthToSpace(x as tf.Tensor4D, 2, 'NHWC')))],
  }),
  SpaceToBatchND: composite<{ blockShape: Shape; paddings: readonly Shape[] }>({
    inputs: ['x'],
    compose(inputs, { blockShape, paddings }) {
      const x = single(inputs);
      const widths = x.shape.map((_, i) => [paddings[i - 1]?.[0] ?? 0, paddings[i - 1]?.[1] ?? 0] as [number, number]);
      const padded = tf.pad(x, widths);
      const sizes = blockShape.map((block, i) => [at(padded.shape, i + 1) / block, block]);
      const [batch = 1, rest] = [padded.shape[0], padded.shape.slice(blockShape.length + 1)];
      const places = sizes.map((_, i) => 2 * i + 1);
      const inner = rest.map((_, i) => 2 * sizes.length + 1 + i);
      const split = tf.transpose(tf.reshape(padded, [batch, ...sizes.flat(), ...rest]), [
        ...places.map((i) => i + 1),
        0,
        ...places,
        ...inner,
      ]);
      return tf.reshape(split, [
        batch * tf.util.sizeFromShape([...blockShape]),
        ...sizes.map(([size = 1]) => size),
        ...rest,
      ]);
    },
    samples: [
      sample([real([2, 3, 4, 2])], (x) =>
        tf.square(
          tf.spaceToBatchND(
            x,
            [2, 2],
            [
              [1, 0],
              [0, 2],
            ],
          ),
        ),
      ),
      sample([real([1, 6])], (x) => tf.square(tf.spaceToBatchND(x, [3], [[0, 0]]))),
    ],
  }),
  BatchToSpaceND: composite<{ blockShape: Shape; crops: readonly Shape[] }>({
    inputs: ['x'],
    compose(inputs, { blockShape, crops }) {
      const x = single(inputs);
      const batch = at(x.shape, 0) / tf.util.sizeFromShape([...blockShape]);
      const [sizes, rest] = [x.shape.slice(1, blockShape.length + 1), x.shape.slice(blockShape.length + 1)];
      const count = blockShape.length;
      const split = tf.transpose(tf.reshape(x, [...blockShape, batch, ...sizes, ...rest]), [
        count,
        ...blockShape.flatMap((_, i) => [count + 1 + i, i]),
        ...rest.map((_, i) => 2 * count + 1 + i),
      ]);
      const grown = tf.reshape(split, [batch, ...blockShape.map((block, i) => block * at(sizes, i)), ...rest]);
      const [before, after] = [0, 1].map((side) => grown.shape.map((_, i) => crops[i - 1]?.[side] ?? 0));
      const size = grown.shape.map((dimension, i) => dimension - at(before ?? [], i) - at(after ?? [], i));
      return tf.slice(grown, before ?? [], size);
    },
    samples: [
      sample([real([8, 2, 3, 2])], (x) =>
        tf.square(
          tf.batchToSpaceND(
            x,
            [2, 2],
            [
              [1, 0],
              [0, 2],
            ],
          ),
        ),
      ),
      sample([real([3, 2])], (x) => tf.square(tf.batchToSpaceND(x, [3], [[0, 0]]))),
    ],
  }),
} satisfies Record<string, Operation>;
