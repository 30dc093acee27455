import * as tf from '@tensorflow/tfjs-core';
import { broadcastShape } from '../broadcast.ts';
import { fillValue, sameShape } from '../graph.ts';
import { elementwise } from '../onnx/layout.ts';
import { composite, type Operation, type Primitive, primitive } from './operation.ts';
import { asFloat, broadcastNode, elementwiseRow, pair, single, sumTo, triple } from './rules.ts';
import { booleans, integers, real, realAwayFrom, sample } from './samples.ts';

type Binary = (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;

function comparison(operator: string, evaluate: (a: number, b: number) => boolean, call: Binary): Primitive {
  return elementwiseRow({
    inputs: ['a', 'b'],
    operator,
    evaluate: (...operands) => Number(evaluate(...pair(operands))),
    dtype: 'bool',
    gradient: 'zero',
    samples: [
      sample([realAwayFrom([0], [2, 3]), real([3], -0.05, 0.05)], (a, b) => tf.mul(asFloat(call(a, b)), a), {
        anyShape: true,
      }),
      sample([integers([3, 3], 3), integers([3, 3], 3)], call),
    ],
  });
}

function logical(operator: string, evaluate: (a: number, b: number) => boolean, call: Binary): Primitive {
  return { ...comparison(operator, evaluate, call), samples: [sample([booleans([3, 3]), booleans([3, 3])], call)] };
}

export const comparisons = {
  Equal: comparison('Equal', (a, b) => a === b, tf.equal),
  NotEqual: composite({
    inputs: ['a', 'b'],
    compose: (inputs) => tf.logicalNot(tf.equal(...pair(inputs))),
    samples: [sample([integers([3, 3], 3), integers([3, 3], 3)], tf.notEqual)],
  }),
  Greater: comparison('Greater', (a, b) => a > b, tf.greater),
  GreaterEqual: comparison('GreaterOrEqual', (a, b) => a >= b, tf.greaterEqual),
  Less: comparison('Less', (a, b) => a < b, tf.less),
  LessEqual: comparison('LessOrEqual', (a, b) => a <= b, tf.lessEqual),
  LogicalAnd: logical('And', (a, b) => a !== 0 && b !== 0, tf.logicalAnd),
  LogicalOr: logical('Or', (a, b) => a !== 0 || b !== 0, tf.logicalOr),
  LogicalXor: composite({
    inputs: ['a', 'b'],
    compose(inputs) {
      const [a, b] = pair(inputs);
      return tf.logicalAnd(tf.logicalOr(a, b), tf.logicalNot(tf.logicalAnd(a, b)));
    },
    samples: [sample([booleans([3, 3]), booleans([3, 3])], tf.logicalXor)],
  }),
  LogicalNot: elementwiseRow({
    inputs: ['x'],
    operator: 'Not',
    evaluate: (...operands) => Number(single(operands) === 0),
    gradient: 'zero',
    samples: [sample([booleans([3, 3])], tf.logicalNot)],
  }),
  // TensorFlow.js has broadcast the three operands before
  Select: primitive({
    inputs: ['condition', 't', 'e'],
    infer(inputs) {
      const [condition, t, e] = triple(inputs);
      return { shape: broadcastShape(condition.shape, t.shape, e.shape), dtype: t.dtype, attributes: {} };
    },
    simplify({ inputs, shape }, add) {
      const [condition, t, e] = triple(inputs);
      const value = fillValue(condition);
      if (value !== undefined) return broadcastNode(add, value ? t : e, shape);
      return t === e && sameShape(t.shape, shape) ? t : undefined;
    },
    gradient({ dy, inputs }) {
      const [condition, t, e] = triple(inputs);
      const zero = tf.zerosLike(dy);
      return [
        undefined,
        () => sumTo(tf.where(condition, dy, zero), t.shape),
        () => sumTo(tf.where(condition, zero, dy), e.shape),
      ];
    },
    lower: (graph, inputs, { dtype }) => elementwise(graph, 'Where', inputs, { dtype }),
    samples: [
      sample([booleans([2, 3]), real([2, 3]), real([2, 3])], (c, a, b) => tf.square(tf.where(c, a, b))),
      sample([booleans([2, 3]), integers([2, 3], 9), integers([2, 3], 9)], (c, a, b) => tf.where(c, a, b)),
    ],
  }),
} satisfies Record<string, Operation>;
