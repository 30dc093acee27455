import * as tf from '@tensorflow/tfjs-core';
import { elu, gelu } from '../../layers/activation.ts';
import { HIGHEST, LOWEST } from '../../operations/rules.ts';
import type { Call } from '../call.ts';
import type { OnnxOperator, OperatorTable } from '../operator.ts';
import { dtypeOf } from '../tensor.ts';
import { aligned, imagesValue, plainValue, tensorOf, type Value, valueLike } from '../value.ts';

/** f(x), element by element. */
function unary(f: (x: tf.Tensor, call: Call) => tf.Tensor, reads?: readonly number[]): OnnxOperator {
  return {
    ...(reads && { reads }),
    evaluate: (call) => valueLike(call.value(0), f(tensorOf(call.value(0)), call)),
  };
}

function broadcasting(values: readonly Value[], f: (...operands: tf.Tensor[]) => tf.Tensor): Value {
  const { operands, layout } = aligned(values);
  const result = f(...operands);
  return layout === 'images' ? imagesValue(result) : plainValue(result);
}

function binary(f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): OnnxOperator {
  return {
    evaluate: (call) => broadcasting([call.value(0), call.value(1)], (...[a, b]) => f(a as tf.Tensor, b as tf.Tensor)),
  };
}

/** An operator of any number of operands. */
function variadic(
  f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
  finish = (sum: tf.Tensor, _count: number) => sum,
): OnnxOperator {
  return {
    evaluate: (call) => {
      const values = Array.from({ length: call.count }, (_, i) => call.value(i));
      return broadcasting(values, (...operands) =>
        finish(
          operands.reduce((a, b) => f(a, b)),
          operands.length,
        ),
      );
    },
  };
}

const isInteger = (x: tf.Tensor) => x.dtype === 'int32';

function clip(x: tf.Tensor, call: Call): tf.Tensor {
  const limit = (name: string, index: number, fallback: number) =>
    call.has(index) ? (call.numbers(index)[0] ?? fallback) : call.float(name, fallback);
  const [low, high] = [limit('min', 1, LOWEST), limit('max', 2, HIGHEST)];
  return tf.clipByValue(x, low, high);
}

/** ONNX divides integers towards zero. */
function divide(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  if (!isInteger(a)) return tf.div(a, b);
  return tf.cast(tf.div(tf.cast(a, 'float32'), tf.cast(b, 'float32')), 'int32');
}

/** Remainder with the sign of the divisor, or of the dividend (`fmod`). */
function remainder(a: tf.Tensor, b: tf.Tensor, towardsZero: boolean): tf.Tensor {
  const [x, y] = [tf.cast(a, 'float32'), tf.cast(b, 'float32')];
  const quotient = tf.div(x, y);
  const whole = towardsZero ? tf.mul(tf.sign(quotient), tf.floor(tf.abs(quotient))) : tf.floor(quotient);
  return tf.cast(tf.sub(x, tf.mul(y, whole)), a.dtype as 'float32');
}

function cast(x: tf.Tensor, call: Call): tf.Tensor {
  const to = call.integer('to', 0);
  const dtype = dtypeOf(to);
  if (!dtype) throw call.error('UNSUPPORTED_OPERATION', `the ONNX element type ${to} has no counterpart in the engine`);
  return x.dtype === dtype ? x : tf.cast(x, dtype);
}

const toFloat = (x: tf.Tensor) => tf.cast(x, 'float32');

/** Operators that work element by element and broadcast. */
export const elementwiseOperators = {
  Abs: unary((x) => tf.abs(x)),
  Add: binary(tf.add),
  And: binary((a, b) => tf.logicalAnd(a, b)),
  Cast: unary(cast),
  CastLike: { evaluate: (call) => valueLike(call.value(0), tf.cast(tensorOf(call.value(0)), call.value(1).dtype)) },
  Ceil: unary((x) => (isInteger(x) ? x : tf.ceil(x))),
  Celu: unary((x, call) => tf.mul(call.float('alpha', 1), elu(tf.div(x, call.float('alpha', 1))))),
  Clip: unary(clip, [1, 2]),
  Cos: unary((x) => tf.cos(x)),
  Div: binary(divide),
  Elu: unary((x, call) => elu(x, call.float('alpha', 1))),
  Equal: binary((a, b) => tf.equal(a, b)),
  Erf: unary((x) => tf.erf(x)),
  Exp: unary((x) => tf.exp(x)),
  Floor: unary((x) => (isInteger(x) ? x : tf.floor(x))),
  Gelu: unary((x, call) => gelu(x, { approximate: call.text('approximate', 'none') === 'tanh' })),
  Greater: binary((a, b) => tf.greater(a, b)),
  GreaterOrEqual: binary((a, b) => tf.greaterEqual(a, b)),
  HardSigmoid: unary((x, call) =>
    tf.clipByValue(tf.add(tf.mul(x, call.float('alpha', 0.2)), call.float('beta', 0.5)), 0, 1),
  ),
  HardSwish: unary((x) => tf.mul(x, tf.clipByValue(tf.add(tf.div(x, 6), 0.5), 0, 1))),
  Identity: { evaluate: (call) => call.value(0) },
  IsInf: unary((x, call) => {
    const signs = [call.integer('detect_positive', 1) && 1, call.integer('detect_negative', 1) && -1];
    return signs
      .map((sign) => tf.logicalAnd(tf.isInf(x), tf.greater(tf.mul(tf.sign(x), sign), 0)))
      .reduce(tf.logicalOr);
  }),
  IsNaN: unary((x) => tf.isNaN(x)),
  LeakyRelu: unary((x, call) => tf.leakyRelu(x, call.float('alpha', 0.01))),
  Less: binary((a, b) => tf.less(a, b)),
  LessOrEqual: binary((a, b) => tf.lessEqual(a, b)),
  Log: unary((x) => tf.log(x)),
  Max: variadic(tf.maximum),
  Mean: variadic(tf.add, (sum, count) => tf.div(sum, count)),
  Min: variadic(tf.minimum),
  Mish: unary((x) => tf.mul(x, tf.tanh(tf.softplus(x)))),
  Mod: {
    evaluate: (call) =>
      broadcasting([call.value(0), call.value(1)], (...[a, b]) =>
        remainder(a as tf.Tensor, b as tf.Tensor, call.integer('fmod', 0) === 1),
      ),
  },
  Mul: binary(tf.mul),
  Neg: unary((x) => tf.neg(x)),
  Not: unary((x) => tf.logicalNot(x)),
  Or: binary((a, b) => tf.logicalOr(a, b)),
  PRelu: binary(tf.prelu),
  // an exponent of shape [1] is a parameter like other lists: generalised mean pooling learns it
  Pow: {
    evaluate: (call) => {
      const { dtype } = call.value(0);
      return broadcasting([call.value(0), call.value(1)], (...[a, b]) =>
        tf.cast(tf.pow(toFloat(a as tf.Tensor), toFloat(b as tf.Tensor)), dtype),
      );
    },
  },
  Reciprocal: unary((x) => tf.reciprocal(x)),
  Relu: unary((x) => tf.relu(x)),
  Round: unary((x) => tf.round(x)),
  Selu: unary((x, call) => {
    const [alpha, gamma] = [call.float('alpha', 1.6732632423543772), call.float('gamma', 1.0507009873554805)];
    return tf.mul(gamma, elu(x, alpha));
  }),
  Shrink: unary((x, call) => {
    const [bias, lambda] = [call.float('bias', 0), call.float('lambd', 0.5)];
    const above = toFloat(tf.greater(x, lambda));
    const below = toFloat(tf.less(x, -lambda));
    return tf.add(tf.mul(above, tf.sub(x, bias)), tf.mul(below, tf.add(x, bias)));
  }),
  Sigmoid: unary((x) => tf.sigmoid(x)),
  Sign: unary((x) => tf.sign(x)),
  Sin: unary((x) => tf.sin(x)),
  Softplus: unary((x) => tf.softplus(x)),
  Softsign: unary((x) => tf.div(x, tf.add(1, tf.abs(x)))),
  Sqrt: unary((x) => tf.sqrt(x)),
  Sub: binary(tf.sub),
  Sum: variadic(tf.add),
  Swish: unary((x, call) => tf.mul(x, tf.sigmoid(tf.mul(x, call.float('alpha', 1))))),
  Tan: unary((x) => tf.div(tf.sin(x), tf.cos(x))),
  Tanh: unary((x) => tf.tanh(x)),
  ThresholdedRelu: unary((x, call) => tf.mul(x, toFloat(tf.greater(x, call.float('alpha', 1))))),
  Where: {
    evaluate: (call) => {
      const values = [call.value(0), call.value(1), call.value(2)];
      return broadcasting(values, (...[condition, a, b]) =>
        tf.where(condition as tf.Tensor, a as tf.Tensor, b as tf.Tensor),
      );
    },
  },
  Xor: binary((a, b) => tf.notEqual(toFloat(a), toFloat(b))),
} satisfies OperatorTable;
