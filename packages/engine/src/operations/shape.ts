import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import { fillValue, sameShape } from '../graph.ts';
import { sizeOf } from '../ndarray.ts';
import { at } from '../onnx/graph.ts';
import { reshapeValue, rows, rowsValue } from '../onnx/layout.ts';
import { composite, type Operation, primitive } from './operation.ts';
import { fillNode, isBroadcast, single } from './rules.ts';
import { integers, real, sample } from './samples.ts';

type Shape = readonly number[];

type SliceAttributes = { begin: number | Shape; size?: number | Shape };

/** One number for each axis; TensorFlow.js lets trailing axes be left out, and -1 mean "all that is left". */
function sliceOf({ begin, size = -1 }: SliceAttributes, shape: Shape): { begin: number[]; size: number[] } {
  const [starts, sizes] = [begin, size].map((given) => (typeof given === 'number' ? [given] : given));
  const first = shape.map((_, i) => starts?.[i] ?? 0);
  return {
    begin: first,
    size: shape.map((dimension, i) => {
      const wanted = sizes?.[i] ?? -1;
      return wanted < 0 ? dimension - at(first, i) : wanted;
    }),
  };
}

export const shapes = {
  Reshape: primitive<{ shape: Shape }>({
    inputs: ['x'],
    infer(inputs, { shape }) {
      const x = single(inputs);
      const full = tf.util.inferFromImplicitShape([...shape], sizeOf(x.shape));
      if (sizeOf(full) !== sizeOf(x.shape))
        throw new EngineError('SHAPE_MISMATCH', `[${x.shape}] cannot be reshaped to [${shape}]`);
      return { shape: full, dtype: x.dtype, attributes: { shape: full } };
    },
    simplify({ inputs, shape, dtype }, add) {
      const x = single(inputs);
      if (sameShape(x.shape, shape)) return x;
      const value = fillValue(x);
      if (value !== undefined) return fillNode(add, shape, value, dtype);
      return x.kernel === 'Reshape' ? add('Reshape', x.inputs, { shape }) : undefined;
    },
    gradient: ({ dy, inputs }) => [() => tf.reshape(dy, single(inputs).shape)],
    lower: (graph, inputs, { shape }) => reshapeValue(graph, single(inputs), shape),
    samples: [sample([real([2, 6])], (x) => tf.square(tf.reshape(x, [3, -1])))],
  }),
  ExpandDims: composite<{ dim: number }>({
    inputs: ['input'],
    compose(inputs, { dim }) {
      const x = single(inputs);
      const axis = dim < 0 ? x.rank + 1 + dim : dim;
      return tf.reshape(x, [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)]);
    },
    samples: [sample([real([2, 3])], (x) => tf.expandDims(x, 1)), sample([real([2, 3])], (x) => tf.expandDims(x, -1))],
  }),
  Transpose: primitive<{ perm: Shape }>({
    inputs: ['x'],
    infer(inputs, { perm }) {
      const x = single(inputs);
      return { shape: perm.map((axis) => at(x.shape, axis)), dtype: x.dtype, attributes: { perm } };
    },
    simplify({ inputs, shape, dtype, attributes: { perm } }, add) {
      const x = single(inputs);
      const value = fillValue(x);
      if (value !== undefined) return fillNode(add, shape, value, dtype);
      return perm.every((axis, i) => axis === i) ? x : undefined;
    },
    gradient: ({ dy, attributes: { perm } }) => [
      () => tf.transpose(dy, tf.backend_util.getUndoAxesPermutation([...perm])),
    ],
    lower(graph, inputs, { dtype, attributes: { perm } }) {
      const x = rows(graph, single(inputs));
      return rowsValue(graph.reordered(x, x.shape, perm), dtype);
    },
    samples: [
      sample([real([2, 3, 4])], (x) => tf.square(tf.transpose(x, [1, 2, 0]))),
      sample([real([2, 3])], (x) => tf.transpose(x)),
    ],
  }),
  Tile: primitive<{ reps: Shape }>({
    inputs: ['x'],
    infer(inputs, { reps }) {
      const x = single(inputs);
      return { shape: x.shape.map((dimension, i) => dimension * at(reps, i)), dtype: x.dtype, attributes: { reps } };
    },
    simplify({ inputs, shape, dtype, attributes: { reps } }, add) {
      const x = single(inputs);
      const value = fillValue(x);
      if (value !== undefined) return fillNode(add, shape, value, dtype);
      return reps.every((count) => count === 1) ? x : undefined;
    },
    gradient: ({ dy, inputs, attributes: { reps } }) => [
      () => {
        const x = single(inputs);
        const split = tf.reshape(
          dy,
          x.shape.flatMap((dimension, i) => [at(reps, i), dimension]),
        );
        return tf.sum(
          split,
          x.shape.map((_, i) => 2 * i),
        );
      },
    ],
    lower(graph, inputs, { shape, dtype, attributes: { reps } }) {
      const x = single(inputs);
      if (isBroadcast(x.shape, reps))
        return { layout: 'broadcast', shape, dtype, source: x.layout === 'broadcast' ? x.source : x };
      return rowsValue(graph.node('Tile', [rows(graph, x), graph.integers(reps)], shape), dtype);
    },
    samples: [
      sample([real([2, 3])], (x) => tf.square(tf.tile(x, [3, 2]))),
      sample([real([2, 1, 3])], (x) => tf.square(tf.tile(x, [1, 4, 1]))),
      sample([real([3]), real([4, 3])], (x, y) => tf.mul(tf.broadcastTo(x, [4, 3]), y)),
    ],
  }),
  Concat: primitive<{ axis: number }>({
    inputs: 'list',
    infer(inputs, { axis }) {
      const { shape, dtype } = single(inputs);
      const normal = single(tf.util.parseAxisParam(axis, [...shape]));
      const joined = (length: number) => shape.map((d, i) => (i === normal ? length : d));
      for (const input of inputs)
        if (!sameShape(input.shape, joined(input.shape[normal] ?? 0)))
          throw new EngineError(
            'SHAPE_MISMATCH',
            `[${shape}] and [${input.shape}] cannot be joined along axis ${normal}`,
          );
      const length = inputs.reduce((sum, input) => sum + at(input.shape, normal), 0);
      return { shape: joined(length), dtype, attributes: { axis: normal } };
    },
    gradient({ dy, inputs, attributes: { axis } }) {
      const length = (input: tf.Tensor) => at(input.shape, axis);
      return inputs.map((input, i) => () => {
        const offset = inputs.slice(0, i).reduce((sum, other) => sum + length(other), 0);
        return tf.slice(
          dy,
          dy.shape.map((_, a) => (a === axis ? offset : 0)),
          input.shape,
        );
      });
    },
    lower: (graph, inputs, { shape, dtype, attributes: { axis } }) =>
      rowsValue(
        graph.node(
          'Concat',
          inputs.map((input) => rows(graph, input)),
          shape,
          { attributes: { axis } },
        ),
        dtype,
      ),
    samples: [
      sample([real([2, 3]), real([1, 3])], (a, b) => tf.square(tf.concat([a, b]))),
      sample([real([2, 3]), real([2, 1])], (a, b) => tf.square(tf.concat([a, b], 1))),
      sample([real([2, 3]), real([2, 3])], (a, b) => tf.concat([a, b, tf.ones([2, 3])], -1)),
    ],
  }),
  Pack: composite<{ axis: number }>({
    inputs: 'list',
    compose(inputs, { axis }) {
      const normal = axis < 0 ? axis + single(inputs).rank + 1 : axis;
      return tf.concat(
        inputs.map((input) => tf.expandDims(input, normal)),
        normal,
      );
    },
    samples: [sample([real([2, 3]), real([2, 3])], (a, b) => tf.square(tf.stack([a, b], 1)))],
  }),
  Unpack: composite<{ axis: number }>({
    inputs: ['value'],
    compose(inputs, { axis }) {
      const x = single(inputs);
      const normal = single(tf.util.parseAxisParam(axis, x.shape));
      return tf.split(x, at(x.shape, normal), normal).map((part) => tf.squeeze(part, [normal]));
    },
    samples: [sample([real([2, 3])], (x) => tf.mul(...(tf.unstack(x) as [tf.Tensor, tf.Tensor])))],
  }),
  SplitV: composite<{ numOrSizeSplits: number | Shape; axis: number }>({
    inputs: ['x'],
    compose(inputs, { numOrSizeSplits, axis }) {
      const x = single(inputs);
      const normal = single(tf.util.parseAxisParam(axis, x.shape));
      const sizes = tf.backend_util.prepareSplitSize(x, numOrSizeSplits as number | number[], normal);
      return sizes.map((size, i) => {
        const offset = sizes.slice(0, i).reduce((sum, other) => sum + other, 0);
        return tf.slice(
          x,
          x.shape.map((_, a) => (a === normal ? offset : 0)),
          x.shape.map((dimension, a) => (a === normal ? size : dimension)),
        );
      });
    },
    samples: [sample([real([2, 4])], (x) => tf.mul(...(tf.split(x, 2, 1) as [tf.Tensor, tf.Tensor])))],
  }),
  Slice: primitive<SliceAttributes>({
    inputs: ['x'],
    infer(inputs, given) {
      const x = single(inputs);
      const { begin, size } = sliceOf(given, x.shape);
      if (begin.some((first, i) => first < 0 || at(size, i) < 0 || first + at(size, i) > at(x.shape, i)))
        throw new EngineError('SHAPE_MISMATCH', `a slice of [${size}] from [${begin}] does not lie in [${x.shape}]`);
      return { shape: size, dtype: x.dtype, attributes: { begin, size } };
    },
    simplify({ inputs, shape, dtype }, add) {
      const x = single(inputs);
      const value = fillValue(x);
      if (value !== undefined) return fillNode(add, shape, value, dtype);
      return sameShape(x.shape, shape) ? x : undefined;
    },
    gradient: ({ dy, inputs, attributes }) => [
      () => {
        const x = single(inputs);
        const { begin } = sliceOf(attributes, x.shape);
        return tf.pad(
          dy,
          x.shape.map((dimension, i) => [at(begin, i), dimension - at(begin, i) - at(dy.shape, i)]),
        );
      },
    ],
    lower(graph, inputs, { dtype, attributes }) {
      const { begin, size } = sliceOf(attributes, single(inputs).shape);
      const end = begin.map((start, i) => start + at(size, i));
      return rowsValue(graph.slice(rows(graph, single(inputs)), begin, end), dtype);
    },
    samples: [
      sample([real([3, 4])], (x) => tf.square(tf.slice(x, [1, 0], [2, 3]))),
      sample([real([3, 4])], (x) => tf.square(tf.slice(x, 1))),
    ],
  }),
  PadV2: primitive<{ paddings: readonly Shape[]; constantValue: number }>({
    inputs: ['x'],
    infer(inputs, { paddings, constantValue = 0 }) {
      const x = single(inputs);
      const shape = x.shape.map((dimension, i) => dimension + sizeOfPadding(paddings[i]));
      return { shape, dtype: x.dtype, attributes: { paddings, constantValue } };
    },
    simplify({ inputs, shape, dtype, attributes: { constantValue } }, add) {
      const x = single(inputs);
      if (sameShape(x.shape, shape)) return x;
      const isPaddingOnly = sizeOf(x.shape) === 0 || fillValue(x) === constantValue;
      return isPaddingOnly ? fillNode(add, shape, constantValue, dtype) : undefined;
    },
    gradient: ({ dy, inputs, attributes: { paddings } }) => [
      () =>
        tf.slice(
          dy,
          paddings.map((padding) => at(padding, 0)),
          single(inputs).shape,
        ),
    ],
    lower(graph, inputs, { dtype, attributes: { paddings, constantValue } }) {
      const [before, after] = [0, 1].map((side) => paddings.map((padding) => at(padding, side)));
      const fill = graph.scalar(constantValue, dtype);
      return rowsValue(graph.pad(rows(graph, single(inputs)), before ?? [], after ?? [], fill), dtype);
    },
    samples: [
      sample([real([2, 3])], (x) =>
        tf.square(
          tf.pad(x, [
            [1, 0],
            [2, 1],
          ]),
        ),
      ),
      sample([real([2, 3])], (x) =>
        tf.square(
          tf.pad(
            x,
            [
              [0, 1],
              [0, 0],
            ],
            0.5,
          ),
        ),
      ),
      sample([integers([3], 5)], (x) => tf.pad(x, [[1, 2]], 7)),
    ],
  }),
  Reverse: primitive<{ dims: number | Shape }>({
    inputs: ['x'],
    infer(inputs, { dims }) {
      const x = single(inputs);
      const axes = tf.util.parseAxisParam(dims as number | number[], [...x.shape]);
      return { shape: x.shape, dtype: x.dtype, attributes: { dims: axes } };
    },
    gradient: ({ dy, attributes: { dims } }) => [() => tf.reverse(dy, [...(dims as number[])])],
    lower(graph, inputs, { shape, dtype, attributes: { dims } }) {
      const axes = dims as Shape;
      const every = (value: number) => graph.integers(axes.map(() => value));
      const bounds = [every(-1), every(-(2 ** 31)), graph.integers(axes), every(-1)];
      return rowsValue(graph.node('Slice', [rows(graph, single(inputs)), ...bounds], shape), dtype);
    },
    samples: [sample([real([2, 3])], (x) => tf.mul(tf.reverse(x, 1), x))],
  }),
} satisfies Record<string, Operation>;

function sizeOfPadding(padding: Shape | undefined): number {
  return (padding?.[0] ?? 0) + (padding?.[1] ?? 0);
}
