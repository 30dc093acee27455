import * as tf from '@tensorflow/tfjs-core';
import { composite, type Operation } from './operation.ts';
import { elementwiseRow, single } from './rules.ts';
import { real, realAwayFrom, type Sample, sample } from './samples.ts';

type Unary = (x: tf.Tensor) => tf.Tensor;

/** A function of one tensor that is written with others, since nothing here needs it to be fast. */
function composed(compose: Unary, samples: readonly Sample[]): Operation {
  return composite({ inputs: ['x'], compose: (inputs) => compose(single(inputs)), samples });
}

const on = (low: number, high: number, call: Unary, tolerance?: number) => [
  sample([real([2, 3], low, high)], call, { anyShape: true, tolerance }),
];

const test = (call: Unary): Sample[] => [
  sample([realAwayFrom([0], [2, 3])], (x) => call(tf.div(x, tf.floor(tf.abs(x)))), { order: 0 }),
  sample([real([2, 3])], (x) => call(tf.sqrt(x)), { order: 0 }),
];

/** atan(x / sqrt(1 - x^2)), in a form that holds at 1 and -1 too. */
const asin: Unary = (x) => tf.mul(2, tf.atan(tf.div(x, tf.add(1, tf.sqrt(tf.mul(tf.sub(1, x), tf.add(1, x)))))));

export const elementary = {
  Atan: elementwiseRow({
    inputs: ['x'],
    operator: 'Atan',
    evaluate: (...[x]) => Math.atan(x ?? Number.NaN),
    gradient: ({ dy, inputs }) => [() => tf.div(dy, tf.add(1, tf.square(single(inputs))))],
    samples: on(-3, 3, tf.atan),
  }),
  Tan: composed((x) => tf.div(tf.sin(x), tf.cos(x)), on(-1.2, 1.2, tf.tan)),
  Asin: composed(asin, on(-0.8, 0.8, tf.asin)),
  Acos: composed((x) => tf.sub(Math.PI / 2, asin(x)), on(-0.8, 0.8, tf.acos)),
  Sinh: composed((x) => tf.mul(tf.sub(tf.exp(x), tf.exp(tf.neg(x))), 0.5), on(-1.5, 1.5, tf.sinh)),
  Cosh: composed((x) => tf.mul(tf.add(tf.exp(x), tf.exp(tf.neg(x))), 0.5), on(-1.5, 1.5, tf.cosh)),
  // on |x|, since x + sqrt(x^2 + 1) of a negative x is lost in rounding; the sign is 1 at 0, so that the slope there is 1
  Asinh: composed(
    (x) => {
      const sign = tf.sub(1, tf.mul(2, tf.cast(tf.less(x, 0), 'float32')));
      const size = tf.mul(sign, x);
      return tf.mul(sign, tf.log(tf.add(size, tf.sqrt(tf.add(tf.square(x), 1)))));
    },
    on(-2, 2, tf.asinh),
  ),
  Acosh: composed((x) => tf.log(tf.add(x, tf.sqrt(tf.sub(tf.square(x), 1)))), on(1.3, 3, tf.acosh)),
  Atanh: composed((x) => tf.mul(0.5, tf.log(tf.div(tf.add(1, x), tf.sub(1, x)))), on(-0.7, 0.7, tf.atanh)),
  IsNan: composed((x) => tf.notEqual(x, x), test(tf.isNaN)),
  IsInf: composed((x) => tf.equal(tf.abs(x), Number.POSITIVE_INFINITY), test(tf.isInf)),
  IsFinite: composed((x) => tf.less(tf.abs(x), Number.POSITIVE_INFINITY), test(tf.isFinite)),
} satisfies Record<string, Operation>;
