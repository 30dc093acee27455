import * as tf from '@tensorflow/tfjs-core';
import { at } from '../onnx/graph.ts';
import { rows, rowsValue } from '../onnx/layout.ts';
import { composite, type Operation, primitive } from './operation.ts';
import { runKernel, single } from './rules.ts';
import { integers, real, sample } from './samples.ts';

type TopKAttributes = { k: number; sorted: boolean };

/** In no order, and without ties. */
const distinct = (x: tf.Tensor) => {
  const order = Array.from({ length: x.size }, (_, i) => ((i * 37) % 101) / 25);
  return tf.add(tf.mul(x, 0.01), tf.tensor(order, x.shape));
};

const values = (k: number) => (x: tf.Tensor) => tf.square(tf.topk(distinct(x), k).values);

export const sorting = {
  // the values are picked by the indices, so their derivatives are those of picking
  TopK: composite<TopKAttributes>({
    inputs: ['x'],
    compose(inputs, { k }) {
      const x = single(inputs);
      const indices = runKernel('TopKIndices', { x }, { k });
      return [tf.gather(x, indices as tf.Tensor1D, -1, x.rank - 1), indices];
    },
    samples: [
      sample([real([7])], values(3)),
      sample([real([2, 3, 5])], values(5)),
      sample([real([1])], values(1)),
      sample([real([2, 1, 2, 1, 4])], values(2)),
      sample([integers([3, 6], 4)], (x) => tf.topk(x, 4).values),
    ],
  }),
  // the largest k of the last axis, largest first; of equal ones the first comes first
  TopKIndices: primitive<TopKAttributes>({
    inputs: ['x'],
    infer(inputs, { k }) {
      const { shape } = single(inputs);
      return { shape: [...shape.slice(0, -1), k], dtype: 'int32', attributes: { k, sorted: true } };
    },
    gradient: 'zero',
    lower(graph, inputs, { shape, attributes: { k } }) {
      const x = rows(graph, single(inputs));
      const attributes = { axis: x.shape.length - 1, largest: 1, sorted: 1 };
      const indices = graph.node('TopK', [x, graph.integers([k])], shape, { attributes, slot: 1 });
      return rowsValue(graph.cast(indices, 'int32'), 'int32');
    },
    evaluate: (inputs, { k }) => tf.topk(single(inputs), k).indices,
    samples: [
      sample([real([2, 5])], (x) => tf.topk(distinct(x), 3).indices),
      sample([integers([4, 6], 3)], (x) => tf.topk(x, 6).indices),
    ],
  }),
  Cumsum: primitive<{ axis: number; exclusive: boolean; reverse: boolean }>({
    inputs: ['x'],
    infer(inputs, { axis, exclusive = false, reverse = false }) {
      const { shape, dtype } = single(inputs);
      const normal = single(tf.util.parseAxisParam(axis, [...shape]));
      return { shape, dtype, attributes: { axis: normal, exclusive, reverse } };
    },
    gradient: ({ dy, attributes: { axis, exclusive, reverse } }) => [() => tf.cumsum(dy, axis, exclusive, !reverse)],
    lower(graph, inputs, { shape, dtype, attributes: { axis, exclusive, reverse } }) {
      const attributes = { exclusive: Number(exclusive), reverse: Number(reverse) };
      const operands = [rows(graph, single(inputs)), graph.constant([axis], [], 'int64')];
      return rowsValue(graph.node('CumSum', operands, shape, { attributes }), dtype);
    },
    samples: [
      sample([real([5])], (x) => tf.square(tf.cumsum(x))),
      sample([real([2, 3, 4])], (x) => tf.square(tf.cumsum(x, 1, true))),
      sample([real([2, 3])], (x) => tf.square(tf.cumsum(x, 1, false, true))),
      sample([real([1, 2, 3, 1, 2])], (x) => tf.square(tf.cumsum(x, 2, true, true))),
      sample([integers([4], 5)], (x) => tf.cumsum(x)),
    ],
  }),
  // halves are multiplied with each other, so that the derivative holds where factors are zero
  Prod: composite<{ axis?: number | readonly number[]; keepDims: boolean }>({
    inputs: ['x'],
    compose(inputs, { axis, keepDims }) {
      const x = single(inputs);
      const axes = tf.util.parseAxisParam((axis ?? undefined) as number[], x.shape);
      const others = [...x.shape.keys()].filter((i) => !axes.includes(i));
      const kept = others.map((i) => at(x.shape, i));
      const columns = tf.reshape(tf.transpose(x, [...axes, ...others]), [-1, tf.util.sizeFromShape(kept)]);
      const shape = keepDims ? x.shape.map((dimension, i) => (axes.includes(i) ? 1 : dimension)) : kept;
      return tf.reshape(productOfRows(columns), shape);
    },
    samples: [
      sample([real([5])], (x) => tf.prod(x)),
      sample([real([2, 3, 4])], (x) => tf.prod(x, [0, 2])),
      sample([real([2, 3])], (x) => tf.prod(x, -1, true)),
      sample([real([2, 1, 3, 1, 2])], (x) => tf.prod(x, [4, 2])),
      sample([integers([2, 3], 5)], (x) => tf.prod(x, 1)),
    ],
  }),
} satisfies Record<string, Operation>;

function productOfRows(x: tf.Tensor): tf.Tensor {
  const [count, width] = [at(x.shape, 0), at(x.shape, 1)];
  if (count === 1) return x;
  const half = Math.floor(count / 2);
  const product = tf.mul(tf.slice(x, [0, 0], [half, width]), tf.slice(x, [half, 0], [half, width]));
  return productOfRows(count % 2 ? tf.concat([product, tf.slice(x, [count - 1, 0], [1, width])]) : product);
}
