import * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../ndarray.ts';
import { at, type OnnxNode } from '../onnx/graph.ts';
import { rows, rowsValue } from '../onnx/layout.ts';
import { composite, type Operation, primitive } from './operation.ts';
import { pair, single } from './rules.ts';
import { integers, real, sample } from './samples.ts';

type GatherAttributes = { axis: number; batchDims: number };

/** Each batch is one stretch of a long axis: picks from that, and puts the axes back in order. */
function gatherInBatches(x: tf.Tensor, indices: tf.Tensor, { axis, batchDims }: GatherAttributes): tf.Tensor {
  const along = axis < 0 ? axis + x.rank : axis;
  const [batch, outer] = [x.shape.slice(0, batchDims), x.shape.slice(batchDims, along)];
  const [size, inner] = [at(x.shape, along), x.shape.slice(along + 1)];
  const axes = [...x.shape.keys()];
  const first = tf.transpose(x, [
    ...axes.slice(0, batchDims),
    along,
    ...axes.slice(batchDims, along),
    ...axes.slice(along + 1),
  ]);
  const batches = sizeOf(batch);
  const starts = tf.reshape(tf.mul(tf.range(0, batches, 1, 'int32'), tf.scalar(size, 'int32')), [batches, 1]);
  const places = tf.reshape(tf.add(tf.reshape(indices, [batches, -1]), starts), [-1]) as tf.Tensor1D;
  const picked = tf.gather(tf.reshape(first, [batches * size, ...outer, ...inner]), places);
  const which = indices.shape.slice(batchDims);
  const full = tf.reshape(picked, [...batch, ...which, ...outer, ...inner]);
  const from = (start: number, length: number) => Array.from({ length }, (_, i) => start + i);
  const order = [
    ...from(0, batchDims),
    ...from(batchDims + which.length, outer.length),
    ...from(batchDims, which.length),
    ...from(batchDims + which.length + outer.length, inner.length),
  ];
  return tf.transpose(full, order);
}

/** Tuples of indices into the leading axes of `shape` as one index each, [m, 1]. */
function flatIndices(indices: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const depth = at(indices.shape, indices.rank - 1);
  const strides = Array.from({ length: depth }, (_, i) => sizeOf(shape.slice(i + 1, depth)));
  const steps = tf.mul(tf.reshape(indices, [-1, depth]), tf.tensor1d(strides, 'int32'));
  return tf.sum(steps, 1, true);
}

export const indexing = {
  GatherV2: primitive<GatherAttributes>({
    inputs: ['x', 'indices'],
    compose(inputs, { axis, batchDims = 0 }) {
      if (batchDims === 0) return undefined;
      return gatherInBatches(...pair(inputs), { axis, batchDims });
    },
    infer(inputs, { axis }) {
      const [x, indices] = pair(inputs);
      const normal = single(tf.util.parseAxisParam(axis, [...x.shape]));
      const shape = [...x.shape.slice(0, normal), ...indices.shape, ...x.shape.slice(normal + 1)];
      return { shape, dtype: x.dtype, attributes: { axis: normal, batchDims: 0 } };
    },
    // the adjoint adds up what was picked from the same place
    gradient: ({ dy, inputs, attributes: { axis } }) => [
      () => {
        const [x, indices] = pair(inputs);
        const [before, size, after] = [
          sizeOf(x.shape.slice(0, axis)),
          at(x.shape, axis),
          sizeOf(x.shape.slice(axis + 1)),
        ];
        const picked = tf.transpose(tf.reshape(dy, [before, indices.size, after]), [1, 0, 2]);
        const sums = tf.scatterND(tf.reshape(indices, [-1, 1]), tf.reshape(picked, [indices.size, before * after]), [
          size,
          before * after,
        ]);
        return tf.reshape(tf.transpose(tf.reshape(sums, [size, before, after]), [1, 0, 2]), x.shape);
      },
      undefined,
    ],
    lower(graph, inputs, { shape, dtype, attributes: { axis } }) {
      const [x, indices] = pair(inputs);
      return rowsValue(
        graph.node('Gather', [rows(graph, x), rows(graph, indices)], shape, { attributes: { axis } }),
        dtype,
      );
    },
    samples: [
      sample([real([4, 3]), integers([5], 4)], (x, i) => tf.square(tf.gather(x, i as tf.Tensor1D))),
      sample([real([2, 4, 3]), integers([2, 2], 4)], (x, i) => tf.square(tf.gather(x, i as tf.Tensor1D, 1))),
      sample([real([4, 3])], (x) => tf.square(tf.gather(x, [0, 2, 2]))),
      sample([real([2, 1, 3, 2, 2]), integers([4], 3)], (x, i) => tf.square(tf.gather(x, i as tf.Tensor1D, 2))),
      sample([real([3, 4]), integers([3, 2], 4)], (x, i) => tf.square(tf.gather(x, i as tf.Tensor1D, 1, 1))),
      sample([real([2, 3, 4, 2]), integers([2, 3], 4)], (x, i) => tf.square(tf.gather(x, i as tf.Tensor1D, 2, 1))),
    ],
  }),
  GatherNd: composite({
    inputs: ['params', 'indices'],
    compose(inputs) {
      const [x, indices] = pair(inputs);
      const depth = at(indices.shape, indices.rank - 1);
      const rest = x.shape.slice(depth);
      const places = tf.reshape(flatIndices(indices, x.shape), [-1]) as tf.Tensor1D;
      const picked = tf.gather(tf.reshape(x, [-1, ...rest]), places);
      return tf.reshape(picked, [...indices.shape.slice(0, -1), ...rest]);
    },
    samples: [
      sample([real([3, 3]), integers([4, 2], 3)], (x, i) => tf.square(tf.gatherND(x, i))),
      sample([real([3, 3, 2]), integers([2, 2, 2], 3)], (x, i) => tf.square(tf.gatherND(x, i))),
      sample([real([4, 2]), integers([3, 1], 4)], (x, i) => tf.square(tf.gatherND(x, i))),
    ],
  }),
  // what goes to the same place is added up; recorded as rows of a matrix: [m, 1] and [m, c] -> [n, c]
  ScatterNd: primitive<{ shape: readonly number[] }>({
    inputs: ['indices', 'updates'],
    compose(inputs, { shape }) {
      const [indices, updates] = pair(inputs);
      if (indices.rank === 2 && indices.shape[1] === 1 && updates.rank === 2 && shape.length === 2) return undefined;
      const depth = at(indices.shape, indices.rank - 1);
      const [places, width] = [sizeOf(shape.slice(0, depth)), sizeOf(shape.slice(depth))];
      const flat = flatIndices(indices, shape);
      return tf.reshape(tf.scatterND(flat, tf.reshape(updates, [flat.size, width]), [places, width]), [...shape]);
    },
    infer: (inputs, { shape }) => ({ shape, dtype: pair(inputs)[1].dtype, attributes: { shape } }),
    gradient: ({ dy, inputs }) => [undefined, () => tf.gather(dy, tf.reshape(pair(inputs)[0], [-1]) as tf.Tensor1D)],
    // not ScatterND: that adds in parallel, in no fixed order
    lower(graph, inputs, { shape, dtype }) {
      const [indices, updates] = pair(inputs).map((input) => rows(graph, input)) as [OnnxNode, OnnxNode];
      const zeros = graph.expand(graph.scalar(0, dtype), shape);
      const places = graph.expand(indices, updates.shape);
      const attributes = { axis: 0, reduction: 'add' };
      return rowsValue(graph.node('ScatterElements', [zeros, places, updates], shape, { attributes }), dtype);
    },
    samples: [
      sample([integers([4, 1], 3), real([4, 2])], (i, x) => tf.square(tf.scatterND(i, x, [3, 2]))),
      sample([integers([5, 2], 2), real([5, 3])], (i, x) => tf.square(tf.scatterND(i, x, [2, 2, 3]))),
      sample([integers([4, 1], 6), real([4])], (i, x) => tf.square(tf.scatterND(i, x, [6]))),
      sample([integers([4, 1], 3), integers([4], 9)], (i, x) => tf.scatterND(i, x, [3])),
    ],
  }),
  OneHot: composite<{ depth: number; onValue: number; offValue: number; dtype: tf.DataType }>({
    inputs: ['indices'],
    compose(inputs, { depth, onValue, offValue, dtype }) {
      const isHot = tf.equal(tf.expandDims(single(inputs), -1), tf.range(0, depth, 1, 'int32'));
      const hot = tf.cast(isHot, dtype);
      return onValue === 1 && offValue === 0 ? hot : tf.add(tf.mul(hot, onValue - offValue), offValue);
    },
    samples: [
      sample([integers([4], 3)], (i) => tf.oneHot(i as tf.Tensor1D, 3)),
      sample([integers([4], 3)], (i) => tf.oneHot(i as tf.Tensor1D, 3, 0.9, 0.1, 'float32')),
    ],
  }),
} satisfies Record<string, Operation>;
