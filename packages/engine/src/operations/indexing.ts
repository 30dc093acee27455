import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import { at } from '../onnx/graph.ts';
import { rows, rowsValue } from '../onnx/layout.ts';
import { composite, type Operation, primitive } from './operation.ts';
import { pair, single } from './rules.ts';
import { integers, real, sample } from './samples.ts';

export const indexing = {
  GatherV2: primitive<{ axis: number; batchDims: number }>({
    inputs: ['x', 'indices'],
    infer(inputs, { axis, batchDims = 0 }) {
      const [x, indices] = pair(inputs);
      const normal = single(tf.util.parseAxisParam(axis, [...x.shape]));
      if (batchDims !== 0)
        throw new EngineError('UNSUPPORTED_OPERATION', `GatherV2 with batchDims ${batchDims}: only 0 is supported`);
      const shape = [...x.shape.slice(0, normal), ...indices.shape, ...x.shape.slice(normal + 1)];
      return { shape, dtype: x.dtype, attributes: { axis: normal, batchDims } };
    },
    // the adjoint adds up what was picked from the same place: a product with the one-hot matrix of the indices
    gradient: ({ dy, inputs, attributes: { axis } }) => [
      () => {
        const [x, indices] = pair(inputs);
        const size = at(x.shape, axis);
        const outer = x.shape.slice(0, axis);
        const inner = x.shape.slice(axis + 1);
        const picked = tf.oneHot(tf.reshape(indices, [-1]) as tf.Tensor1D, size);
        const [before, after] = [outer, inner].map((part) =>
          part.reduce((product, dimension) => product * dimension, 1),
        );
        const columns = tf.reshape(dy, [before ?? 1, indices.size, after ?? 1]);
        const order = tf.reshape(tf.transpose(columns, [1, 0, 2]), [indices.size, -1]);
        const sums = tf.matMul(tf.cast(picked, 'float32'), order, true);
        return tf.reshape(tf.transpose(tf.reshape(sums, [size, before ?? 1, after ?? 1]), [1, 0, 2]), x.shape);
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
