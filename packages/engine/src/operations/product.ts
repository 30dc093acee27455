import * as tf from '@tensorflow/tfjs-core';
import { broadcastShape } from '../broadcast.ts';
import { EngineError } from '../errors.ts';
import { fillValue, sameShape } from '../graph.ts';
import { sizeOf } from '../ndarray.ts';
import { at, DOMAIN, type OnnxGraph, type OnnxNode } from '../onnx/graph.ts';
import { rows, rowsValue } from '../onnx/layout.ts';
import { type Operation, primitive } from './operation.ts';
import { fillNode, pair, sumTo } from './rules.ts';
import { integers, real, sample } from './samples.ts';

type ProductAttributes = { transposeA: boolean; transposeB: boolean };

export const products = {
  BatchMatMul: primitive<ProductAttributes>({
    inputs: ['a', 'b'],
    // a batch that is repeated inside, not only as a whole, is written out: TensorFlow.js' kernels count batches modulo those that an operand has
    compose(inputs, { transposeA, transposeB }) {
      const batch = broadcastShape(...inputs.map(({ shape }) => shape.slice(0, -2)));
      if (inputs.every(({ shape }) => isRepeatedAsAWhole(shape.slice(0, -2), batch))) return undefined;
      const [a, b] = pair(inputs.map((input) => tf.broadcastTo(input, [...batch, ...input.shape.slice(-2)])));
      return tf.matMul(a, b, transposeA, transposeB);
    },
    infer(inputs, { transposeA = false, transposeB = false }) {
      const [a, b] = pair(inputs);
      const [m, k] = matrix(a.shape, transposeA);
      const [k2, n] = matrix(b.shape, transposeB);
      if (k !== k2)
        throw new EngineError(
          'SHAPE_MISMATCH',
          `matMul of [${a.shape}] and [${b.shape}]: ${k} columns meet ${k2} rows`,
        );
      const batch = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
      return { shape: [...batch, m, n], dtype: a.dtype, attributes: { transposeA, transposeB } };
    },
    simplify: ({ inputs, shape, dtype }, add) =>
      inputs.some((input) => fillValue(input) === 0) ? fillNode(add, shape, 0, dtype) : undefined,
    gradient({ dy, inputs, attributes: { transposeA, transposeB } }) {
      const [a, b] = pair(inputs);
      return [
        () => sumTo(transposeA ? tf.matMul(b, dy, transposeB, true) : tf.matMul(dy, b, false, !transposeB), a.shape),
        () => sumTo(transposeB ? tf.matMul(dy, a, true, transposeA) : tf.matMul(a, dy, !transposeA, false), b.shape),
      ];
    },
    lower(graph, inputs, { shape, dtype, attributes: { transposeA, transposeB } }) {
      const [a, b] = pair(inputs);
      const attributes = { transA: Number(transposeA), transB: Number(transposeB) };
      const operands = [rows(graph, a), rows(graph, b)];
      if (dtype !== 'float32') {
        const [left, right] = pair(
          operands.map((operand, i) => ((i ? transposeB : transposeA) ? swapped(graph, operand) : operand)),
        );
        return rowsValue(graph.node('MatMul', [left, right], shape), dtype);
      }
      if (sizeOf(shape.slice(0, -2)) > 1)
        return rowsValue(
          graph.node('FusedMatMul', operands, shape, { domain: DOMAIN.microsoft, attributes }),
          'float32',
        );
      const matrices = operands.map((operand) => graph.reshape(operand, operand.shape.slice(-2)));
      return rowsValue(graph.reshape(graph.node('Gemm', matrices, shape.slice(-2), { attributes }), shape), 'float32');
    },
    samples: [
      sample([real([2, 3]), real([3, 4])], (a, b) => tf.square(tf.matMul(a, b))),
      sample([real([3, 2]), real([3, 4])], (a, b) => tf.square(tf.matMul(a, b, true))),
      sample([real([2, 3]), real([4, 3])], (a, b) => tf.square(tf.matMul(a, b, false, true))),
      sample([real([3, 2]), real([4, 3])], (a, b) => tf.square(tf.matMul(a, b, true, true))),
      sample([real([2, 2, 3]), real([2, 3, 2])], (a, b) => tf.square(tf.matMul(a, b))),
      sample([real([2, 3, 2]), real([1, 4, 3])], (a, b) => tf.square(tf.matMul(a, b, true, true))),
      sample([real([1, 2, 3]), real([1, 3, 2])], (a, b) => tf.square(tf.matMul(a, b))),
      sample([real([3]), real([3, 2])], (a, b) => tf.square(tf.dot(a, b))),
      sample([integers([2, 3], 9), integers([4, 3], 9)], (a, b) => tf.matMul(a, b, false, true)),
      sample([integers([2, 3, 2], 9), integers([1, 3, 2], 9)], (a, b) => tf.matMul(a, b, true)),
    ],
  }),
} satisfies Record<string, Operation>;

function matrix(shape: readonly number[], isTransposed: boolean): [number, number] {
  const [height, width] = [at(shape, shape.length - 2), at(shape, shape.length - 1)];
  return isTransposed ? [width, height] : [height, width];
}

/** The last two axes exchanged. */
function swapped(graph: OnnxGraph, node: OnnxNode): OnnxNode {
  const axes = [...node.shape.keys()];
  return graph.transpose(node, [...axes.slice(0, -2), ...axes.slice(-2).toReversed()]);
}

/** Whether broadcasting `shape` to `full` repeats only leading axes. */
function isRepeatedAsAWhole(shape: readonly number[], full: readonly number[]): boolean {
  const kept = shape.slice(shape.findIndex((dimension) => dimension !== 1));
  return sizeOf(shape) === 1 || sameShape(kept, full.slice(full.length - kept.length));
}
