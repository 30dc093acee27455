import * as tf from '@tensorflow/tfjs-core';
import { fillValue, type Node } from '../graph.ts';
import { composite, type Operation, type Primitive } from './operation.ts';
import { asFloat, broadcastNode, elementwiseRow, fillNode, pair, sumTo } from './rules.ts';
import { integers, positive, real, realAwayFrom, sample } from './samples.ts';

/** Two float32 inputs that broadcast. */
function binary(
  operator: string,
  evaluate: (a: number, b: number) => number,
  row: Pick<Primitive, 'gradient' | 'simplify' | 'samples'>,
): Primitive {
  return elementwiseRow({
    inputs: ['a', 'b'],
    operator,
    evaluate: (...operands) => evaluate(...pair(operands)),
    ...row,
  });
}

/** The share of `a` in the gradient of max(a, b): 1, or 1/2 where both are equal. */
function shareOfLarger(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  return tf.mul(tf.add(asFloat(tf.greater(a, b)), asFloat(tf.greaterEqual(a, b))), 0.5);
}

/**
 * TensorFlow.js writes logSoftmax(x) as s - log(sum(exp(s))) with s = x - max(x). As one node it is faster, and its gradient
 * does not run through the maximum. Gives x if a - b has this form, on the last axis.
 */
function logitsOfLogSoftmax(a: Node, b: Node): Node | undefined {
  const sum = b.kernel === 'Log' ? b.inputs[0] : undefined;
  const [x, max] = a.inputs;
  if (a.kernel !== 'Sub' || !x || max?.kernel !== 'Max' || max.inputs[0] !== x) return undefined;
  if (sum?.kernel !== 'Sum' || sum.inputs[0]?.kernel !== 'Exp' || sum.inputs[0].inputs[0] !== a) return undefined;
  const isLastAxis = (axes: unknown) => Array.isArray(axes) && axes.length === 1 && axes[0] === x.shape.length - 1;
  const { axis, keepDims } = sum.attributes;
  return isLastAxis(max.attributes.reductionIndices) && isLastAxis(axis) && max.attributes.keepDims && keepDims
    ? x
    : undefined;
}

const shapes = [
  [
    [2, 3],
    [2, 3],
  ],
  [[2, 3], [3]],
  [
    [2, 1, 3],
    [4, 1],
  ],
  [[], [2, 2]],
] as const;

function samplesOf(call: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor, source = real) {
  return shapes.map(([a, b], i) => sample([source(a), source(b)], (x, y) => call(x, y), { anyShape: i === 0 }));
}

export const arithmetic = {
  Add: binary('Add', (a, b) => a + b, {
    simplify({ inputs, shape }, add) {
      const [a, b] = pair(inputs);
      if (fillValue(a) === 0) return broadcastNode(add, b, shape);
      return fillValue(b) === 0 ? broadcastNode(add, a, shape) : undefined;
    },
    gradient({ dy, inputs }) {
      const [a, b] = pair(inputs);
      return [() => sumTo(dy, a.shape), () => sumTo(dy, b.shape)];
    },
    samples: samplesOf(tf.add),
  }),
  AddN: composite({
    inputs: 'list',
    compose: (inputs) => inputs.reduce((sum, input) => tf.add(sum, input)),
    samples: [sample([real([2, 3]), real([2, 3]), real([2, 3])], (...inputs) => tf.addN(inputs))],
  }),
  Sub: binary('Sub', (a, b) => a - b, {
    simplify({ inputs, shape }, add) {
      const [a, b] = pair(inputs);
      if (fillValue(b) === 0) return broadcastNode(add, a, shape);
      const logits = logitsOfLogSoftmax(a, b);
      return logits && add('LogSoftmax', [logits]);
    },
    gradient({ dy, inputs }) {
      const [a, b] = pair(inputs);
      return [() => sumTo(dy, a.shape), () => tf.neg(sumTo(dy, b.shape))];
    },
    samples: samplesOf(tf.sub),
  }),
  Multiply: binary('Mul', (a, b) => a * b, {
    simplify({ inputs, shape, dtype }, add) {
      const [a, b] = pair(inputs);
      const [x, y] = [fillValue(a), fillValue(b)];
      // a term with the factor zero is gone, even if the other factor should be infinite or NaN
      if (x === 0 || y === 0) return fillNode(add, shape, 0, dtype);
      if (x === 1) return broadcastNode(add, b, shape);
      return y === 1 ? broadcastNode(add, a, shape) : undefined;
    },
    gradient: ({ dy, inputs }) => {
      const [a, b] = pair(inputs);
      return [() => sumTo(tf.mul(dy, b), a.shape), () => sumTo(tf.mul(dy, a), b.shape)];
    },
    samples: samplesOf(tf.mul),
  }),
  RealDiv: binary('Div', (a, b) => a / b, {
    simplify({ inputs, shape, dtype }, add) {
      const [a, b] = pair(inputs);
      if (fillValue(a) === 0) return fillNode(add, shape, 0, dtype);
      return fillValue(b) === 1 ? broadcastNode(add, a, shape) : undefined;
    },
    gradient: ({ dy, inputs, output }) => {
      const [a, b] = pair(inputs);
      return [() => sumTo(tf.div(dy, b), a.shape), () => sumTo(tf.neg(tf.div(tf.mul(dy, output), b)), b.shape)];
    },
    samples: samplesOf(tf.div, positive),
  }),
  Pow: binary('Pow', (a, b) => a ** b, {
    simplify({ inputs, shape, dtype }, add) {
      const [a, b] = pair(inputs);
      if (dtype !== 'float32') return undefined;
      const kernel = { '-1': 'Reciprocal', '-0.5': 'Rsqrt', '0.5': 'Sqrt', '2': 'Square' }[String(fillValue(b))];
      if (kernel) return broadcastNode(add, add(kernel, [a]), shape);
      if (fillValue(b) === 0) return fillNode(add, shape, 1, dtype);
      return fillValue(b) === 1 ? broadcastNode(add, a, shape) : undefined;
    },
    gradient: ({ dy, inputs, output, fills }) => {
      const [a, b] = pair(inputs);
      const exponent = fills[1] ?? b;
      // log(a) counts only where a > 0; elsewhere a power with a varying exponent has no derivative, and 0 is the custom
      const logarithm = () => tf.log(tf.where(tf.greater(a, 0), a, tf.onesLike(a)));
      return [
        () => sumTo(tf.mul(dy, tf.mul(exponent, tf.pow(a, tf.sub(exponent, 1)))), a.shape),
        () => sumTo(tf.mul(dy, tf.mul(output, logarithm())), b.shape),
      ];
    },
    samples: [
      ...samplesOf(tf.pow, positive),
      ...[-2, -1, -0.5, 0.5, 1, 1.7, 2, 3].map((power) => sample([positive([2, 3])], (x) => tf.pow(x, power))),
      sample([realAwayFrom([0], [2, 3])], (x) => tf.pow(x, 3)),
    ],
  }),
  // the rest of the division repairs what rounding to float32 did to integers beyond 2^24
  FloorDiv: composite({
    inputs: ['a', 'b'],
    compose(inputs) {
      const [a, b] = pair(inputs);
      const quotient = (x: tf.Tensor) => tf.cast(tf.floor(tf.div(asFloat(x), asFloat(b))), 'int32');
      const first = quotient(a);
      return a.dtype === 'int32' ? tf.add(first, quotient(tf.sub(a, tf.mul(first, b)))) : first;
    },
    samples: [
      sample([integers([3, 4], 100), integers([4], 7)], (a, b) =>
        tf.floorDiv(tf.sub(a, tf.scalar(50, 'int32')), tf.add(b, tf.scalar(1, 'int32'))),
      ),
      sample([integers([4], 2 ** 30), integers([4], 7)], (a, b) => tf.floorDiv(a, tf.add(b, tf.scalar(1, 'int32')))),
      sample([real([2, 3], -9, 9), positive([3])], (a, b) => tf.floorDiv(a, tf.add(tf.abs(b), 0.5)), { order: 0 }),
    ],
  }),
  // of the sign of the divisor
  Mod: composite({
    inputs: ['a', 'b'],
    compose(inputs) {
      const [a, b] = pair(inputs);
      const quotient = a.dtype === 'int32' ? tf.floorDiv(a, b) : tf.floor(tf.div(a, b));
      return tf.sub(a, tf.mul(quotient, b));
    },
    samples: [
      sample([integers([3, 4], 100), integers([4], 7)], (a, b) =>
        tf.mod(tf.sub(a, tf.scalar(50, 'int32')), tf.sub(b, tf.scalar(9, 'int32'))),
      ),
      sample([real([2, 3], 2.1, 2.4), real([3], 0.9, 1)], (a, b) => tf.square(tf.mod(a, b))),
      sample([real([2, 3], 2.1, 2.4), real([3], -1, -0.9)], (a, b) => tf.square(tf.mod(a, b))),
    ],
  }),
  SquaredDifference: composite({
    inputs: ['a', 'b'],
    compose: (inputs) => tf.square(tf.sub(...pair(inputs))),
    samples: samplesOf(tf.squaredDifference),
  }),
  Maximum: binary('Max', Math.max, {
    gradient: ({ dy, inputs }) => {
      const [a, b] = pair(inputs);
      return [
        () => sumTo(tf.mul(dy, shareOfLarger(a, b)), a.shape),
        () => sumTo(tf.mul(dy, shareOfLarger(b, a)), b.shape),
      ];
    },
    samples: [
      sample([real([2, 3]), real([2, 3], 2, 3)], tf.maximum),
      sample([realAwayFrom([0.25], [2, 3])], (x) => tf.square(tf.maximum(x, 0.25))),
    ],
  }),
  Minimum: binary('Min', Math.min, {
    gradient: ({ dy, inputs }) => {
      const [a, b] = pair(inputs);
      return [
        () => sumTo(tf.mul(dy, shareOfLarger(b, a)), a.shape),
        () => sumTo(tf.mul(dy, shareOfLarger(a, b)), b.shape),
      ];
    },
    samples: [
      sample([real([2, 3]), real([2, 3], 2, 3)], tf.minimum),
      sample([realAwayFrom([0.25], [2, 3])], (x) => tf.square(tf.minimum(x, 0.25))),
    ],
  }),
} satisfies Record<string, Operation>;
