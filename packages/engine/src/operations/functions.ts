import * as tf from '@tensorflow/tfjs-core';
import { ELEMENT_TYPE, type OnnxGraph } from '../onnx/graph.ts';
import { elementwise, rows, rowsValue, scalarValue, type Value } from '../onnx/layout.ts';
import { composite, type Operation, type Primitive, primitive } from './operation.ts';
import {
  asFloat,
  elementwiseRow,
  exactRelu,
  inferElementwise,
  negativePart,
  pair,
  simplifyElementwise,
  single,
} from './rules.ts';
import { integers, positive, real, realAwayFrom, type Sample, sample } from './samples.ts';

type Derivative = (x: tf.Tensor, y: tf.Tensor) => tf.Tensor;

/** A float32 function y = f(x) with dy/dx = derivative(x, y), or one that is flat. */
function unary(
  operator: string,
  evaluate: ((x: number) => number) | undefined,
  derivative: Derivative | 'zero',
  samples: readonly Sample[],
  simplify?: Primitive['simplify'],
): Primitive {
  return elementwiseRow({
    inputs: ['x'],
    operator,
    evaluate: evaluate && ((...[x]) => evaluate(x ?? Number.NaN)),
    gradient:
      derivative === 'zero'
        ? 'zero'
        : ({ dy, inputs, output }) => [() => tf.mul(dy, derivative(single(inputs), output))],
    samples,
    simplify,
  });
}

/** A function that ONNX lacks, or computes slowly: `lower` writes it with several operators. */
function unaryByHand(
  lower: (graph: OnnxGraph, x: Value) => Value,
  evaluate: (x: number) => number,
  derivative: Derivative,
  samples: readonly Sample[],
): Primitive {
  return { ...unary('', evaluate, derivative, samples), lower: (graph, inputs) => lower(graph, single(inputs)) };
}

const SELU_ALPHA = 1.6732632423543772;
const SELU_SCALE = 1.0507009873554805;

function lastAxis(graph: OnnxGraph, operator: string, x: Value, shape: readonly number[]): Value {
  return rowsValue(graph.node(operator, [rows(graph, x)], shape, { attributes: { axis: -1 } }), 'float32');
}

const anyShape = { anyShape: true };
const smooth = (call: (x: tf.Tensor) => tf.Tensor) => [
  sample([real([2, 3])], call, anyShape),
  sample([real([])], call),
];
const onPositive = (call: (x: tf.Tensor) => tf.Tensor) => [sample([positive([2, 3])], call, anyShape)];
/** Squared, so that a piecewise linear function has a second derivative worth testing. */
const kinkAt = (point: number, call: (x: tf.Tensor) => tf.Tensor) => [
  sample([realAwayFrom([point], [2, 3])], (x) => tf.square(call(x)), anyShape),
];
const flat = (call: (x: tf.Tensor) => tf.Tensor) => [
  sample([realAwayFrom([-1, 0, 1], [2, 3], 0.1)], (x) => tf.mul(call(x), x), anyShape),
];

export const functions = {
  Neg: unary(
    'Neg',
    (x) => -x,
    (x) => tf.fill(x.shape, -1),
    smooth(tf.neg),
    ({ inputs }) => {
      const x = single(inputs);
      return x.kernel === 'Neg' ? x.inputs[0] : undefined;
    },
  ),
  Abs: unary('Abs', Math.abs, (x) => tf.sign(x), kinkAt(0, tf.abs)),
  Sign: unary('Sign', Math.sign, 'zero', flat(tf.sign)),
  Floor: unary('Floor', Math.floor, 'zero', flat(tf.floor)),
  Ceil: unary('Ceil', Math.ceil, 'zero', flat(tf.ceil)),
  Round: unary('Round', undefined, 'zero', [
    sample([realAwayFrom([-0.5, 0.5], [2, 3], 0.1)], (x) => tf.mul(tf.round(x), x)),
  ]),
  Square: primitive({
    ...unary(
      'Mul',
      (x) => x * x,
      (x) => tf.mul(x, 2),
      smooth(tf.square),
    ),
    lower: (graph, inputs) => elementwise(graph, 'Mul', [single(inputs), single(inputs)]),
  }),
  Sqrt: unary('Sqrt', Math.sqrt, (_, y) => tf.div(0.5, y), onPositive(tf.sqrt)),
  Rsqrt: unaryByHand(
    (graph, x) => elementwise(graph, 'Reciprocal', [elementwise(graph, 'Sqrt', [x])]),
    (x) => 1 / Math.sqrt(x),
    (_, y) => tf.mul(tf.mul(tf.square(y), y), -0.5),
    onPositive(tf.rsqrt),
  ),
  Reciprocal: unary(
    'Reciprocal',
    (x) => 1 / x,
    (_, y) => tf.neg(tf.square(y)),
    onPositive(tf.reciprocal),
  ),
  // the one function of this kind that TensorFlow.js also takes of integers
  Exp: {
    ...unary('Exp', Math.exp, (_, y) => y, [...smooth(tf.exp), sample([integers([3], 4)], tf.exp)]),
    compose: (inputs) => (single(inputs).dtype === 'float32' ? undefined : tf.exp(asFloat(single(inputs)))),
  },
  Expm1: composite({
    inputs: ['x'],
    compose: (inputs) => tf.sub(tf.exp(single(inputs)), 1),
    samples: smooth(tf.expm1),
  }),
  Log: unary('Log', Math.log, (x) => tf.reciprocal(x), onPositive(tf.log)),
  Log1p: composite({
    inputs: ['x'],
    compose: (inputs) => tf.log(tf.add(single(inputs), 1)),
    samples: onPositive(tf.log1p),
  }),
  Sin: unary('Sin', Math.sin, (x) => tf.cos(x), smooth(tf.sin)),
  Cos: unary('Cos', Math.cos, (x) => tf.neg(tf.sin(x)), smooth(tf.cos)),
  Erf: unary(
    'Erf',
    undefined,
    (x) => tf.mul(tf.exp(tf.neg(tf.square(x))), 2 / Math.sqrt(Math.PI)),
    smooth(tf.erf).map((row) => ({ ...row, tolerance: 1e-4 })), // TensorFlow.js' erf has an error of 5e-7
  ),
  // curvature zero everywhere, at the kink too: the derivative of a step is zero
  Relu: {
    ...unary(
      'Relu',
      (x) => Math.max(0, x),
      (_, y) => tf.step(y), // of y, so that nothing but the ReLU needs x, and its convolution can make y at once
      kinkAt(0, tf.relu),
    ),
    compose(inputs, { isExact }, { reluSharpness }) {
      if (isExact || reluSharpness === Number.POSITIVE_INFINITY) return undefined;
      return tf.div(tf.softplus(tf.mul(single(inputs), reluSharpness)), reluSharpness);
    },
  },
  Step: primitive<{ alpha: number }>({
    inputs: ['x'],
    infer: (inputs, { alpha = 0 }) => ({ ...inferElementwise(inputs), attributes: { alpha } }),
    simplify: (draft, add) => simplifyElementwise(draft, add, (x) => (x > 0 ? 1 : draft.attributes.alpha)),
    gradient: 'zero',
    lower(graph, inputs, { dtype, attributes: { alpha } }) {
      const isPositive = elementwise(graph, 'Greater', [single(inputs), scalarValue(0, dtype)], { dtype: 'bool' });
      const mask = elementwise(graph, 'Cast', [isPositive], { dtype, attributes: { to: ELEMENT_TYPE[dtype] } });
      if (alpha === 0) return mask;
      return elementwise(graph, 'Add', [elementwise(graph, 'Mul', [mask, scalarValue(1 - alpha)]), scalarValue(alpha)]);
    },
    samples: [
      ...flat((x) => tf.step(x)),
      ...flat((x) => tf.step(x, 0.25)),
      sample([integers([4], 3)], (x) => tf.step(x)),
    ],
  }),
  // ONNX Runtime's Softplus is not vectorised: relu(x) + log(1 + exp(-|x|)) takes a third of its time
  Softplus: unaryByHand(
    (graph, x) => {
      const small = elementwise(graph, 'Exp', [elementwise(graph, 'Neg', [elementwise(graph, 'Abs', [x])])]);
      const logarithm = elementwise(graph, 'Log', [elementwise(graph, 'Add', [small, scalarValue(1)])]);
      return elementwise(graph, 'Add', [elementwise(graph, 'Relu', [x]), logarithm]);
    },
    (x) => Math.max(0, x) + Math.log1p(Math.exp(-Math.abs(x))),
    (x) => tf.sigmoid(x),
    [...smooth(tf.softplus), sample([real([2, 3], -30, 30)], tf.softplus, { order: 0 })],
  ),
  Sigmoid: unary(
    'Sigmoid',
    (x) => 1 / (1 + Math.exp(-x)),
    (_, y) => tf.mul(y, tf.sub(1, y)),
    smooth(tf.sigmoid),
  ),
  Tanh: unary('Tanh', Math.tanh, (_, y) => tf.sub(1, tf.square(y)), smooth(tf.tanh)),
  Elu: composite({
    inputs: ['x'],
    compose(inputs) {
      const x = single(inputs);
      const positivePart = exactRelu(x);
      return tf.add(positivePart, tf.sub(tf.exp(tf.sub(x, positivePart)), 1));
    },
    samples: kinkAt(0, tf.elu),
  }),
  Selu: composite({
    inputs: ['x'],
    compose(inputs) {
      const x = single(inputs);
      const positivePart = exactRelu(x);
      const negativePart = tf.mul(tf.sub(tf.exp(tf.sub(x, positivePart)), 1), SELU_ALPHA);
      return tf.mul(tf.add(positivePart, negativePart), SELU_SCALE);
    },
    samples: kinkAt(0, tf.selu),
  }),
  LeakyRelu: composite<{ alpha: number }>({
    inputs: ['x'],
    compose: (inputs, { alpha }) => tf.mul(single(inputs), tf.step(single(inputs), alpha)),
    samples: kinkAt(0, (x) => tf.leakyRelu(x, 0.3)),
  }),
  Prelu: composite({
    inputs: ['x', 'alpha'],
    compose(inputs) {
      const [x, alpha] = pair(inputs);
      return tf.add(exactRelu(x), tf.mul(alpha, negativePart(x)));
    },
    samples: [sample([realAwayFrom([0], [2, 3]), positive([3])], (x, alpha) => tf.square(tf.prelu(x, alpha)))],
  }),
  // of the ReLU, whose slope at 0 is 0
  Relu6: composite({
    inputs: ['x'],
    compose: (inputs) => tf.clipByValue(exactRelu(single(inputs)), 0, 6),
    samples: kinkAt(0, (x) => tf.relu6(tf.mul(x, 2))),
  }),
  ClipByValue: primitive<{ clipValueMin: number; clipValueMax: number }>({
    inputs: ['x'],
    infer: (inputs, { clipValueMin, clipValueMax }) => ({
      ...inferElementwise(inputs),
      attributes: { clipValueMin, clipValueMax },
    }),
    simplify: (draft, add) =>
      simplifyElementwise(draft, add, (x) =>
        Math.min(Math.max(x, draft.attributes.clipValueMin), draft.attributes.clipValueMax),
      ),
    gradient: ({ dy, inputs, attributes: { clipValueMin, clipValueMax } }) => [
      () => {
        const x = single(inputs);
        return tf.mul(dy, asFloat(tf.logicalAnd(tf.greaterEqual(x, clipValueMin), tf.lessEqual(x, clipValueMax))));
      },
    ],
    lower: (graph, inputs, { attributes, dtype }) =>
      elementwise(graph, 'Clip', [
        single(inputs),
        scalarValue(attributes.clipValueMin, dtype),
        scalarValue(attributes.clipValueMax, dtype),
      ]),
    samples: [sample([realAwayFrom([-0.4, 0.9], [2, 3])], (x) => tf.square(tf.clipByValue(x, -0.4, 0.9)), anyShape)],
  }),
  // on the last axis, as TensorFlow.js demands
  Softmax: primitive({
    inputs: ['logits'],
    infer: (inputs) => ({ ...inferElementwise(inputs), attributes: { dim: -1 } }),
    gradient: ({ dy, output }) => [() => tf.mul(tf.sub(dy, tf.sum(tf.mul(dy, output), -1, true)), output)],
    lower: (graph, inputs, node) => lastAxis(graph, 'Softmax', single(inputs), node.shape),
    samples: [sample([real([2, 4])], (x) => tf.softmax(x)), sample([real([2, 2, 3])], (x) => tf.softmax(x))],
  }),
  // TensorFlow.js never asks for this kernel: the row of Sub recognises how it writes logSoftmax
  LogSoftmax: primitive({
    inputs: ['logits'],
    infer: (inputs) => ({ ...inferElementwise(inputs), attributes: { axis: -1 } }),
    gradient: ({ dy, inputs }) => [() => tf.sub(dy, tf.mul(tf.sum(dy, -1, true), tf.softmax(single(inputs))))],
    lower: (graph, inputs, node) => lastAxis(graph, 'LogSoftmax', single(inputs), node.shape),
    evaluate: (inputs) => tf.logSoftmax(single(inputs)),
    samples: [
      sample([real([2, 4])], (x) => tf.logSoftmax(x)),
      sample([real([2, 2, 3])], (x) => tf.square(tf.logSoftmax(x))),
    ],
  }),
} satisfies Record<string, Operation>;
