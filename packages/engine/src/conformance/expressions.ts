import * as tf from '@tensorflow/tfjs-core';
import { broadcastShape } from '../broadcast.ts';
import { groupedConv2d } from '../layers/grouped-convolution.ts';
import { sizeOf } from '../ndarray.ts';

/** One kind of step of a random expression. What it gives stays of moderate size, so that steps may follow each other. */
export interface Step {
  /** Whether the step has derivatives everywhere, so that differences must agree with them. */
  readonly isSmooth: boolean;
  /** Whether it takes tensors of these shapes; unary steps look at the first only. */
  readonly fits: (a: readonly number[], b: readonly number[]) => boolean;
  readonly isBinary?: boolean;
  readonly call: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;
}

/** Most numbers of a value. */
const MOST = 300;

type Unary = (x: tf.Tensor) => tf.Tensor;
type Fits = (shape: readonly number[]) => boolean;

const anyShape: Fits = () => true;
const rankFrom =
  (rank: number): Fits =>
  (shape) =>
    shape.length >= rank;
const isImage: Fits = (shape) => shape.length === 4 && shape[1] === 4 && shape[2] === 4;

const smooth = (call: Unary, fits: Fits = anyShape): Step => ({ isSmooth: true, fits, call });
/** Moved by an odd number, so that equal results of other steps (0 above all) do not meet at the kink, where rounding would decide. */
const kinked = (call: Unary, fits: Fits = anyShape): Step => ({
  isSmooth: false,
  fits,
  call: (x) => call(tf.add(x, 0.1373)),
});
/** All numbers are made different for the same reason. */
const ordered = (call: Unary, fits: Fits): Step => ({
  isSmooth: false,
  fits,
  call: (x) => call(tf.add(x, tf.reshape(tf.mul(tf.range(0, x.size), 0.0137), x.shape))),
});
const binary = (call: Step['call'], fits: Step['fits'], isSmooth = true): Step => ({
  isSmooth,
  isBinary: true,
  fits,
  call,
});

function broadcasts(a: readonly number[], b: readonly number[]): boolean {
  const rank = Math.max(a.length, b.length);
  const pairs = Array.from(
    { length: rank },
    (_, i) => [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1] as const,
  );
  return pairs.every(([x, y]) => x === y || x === 1 || y === 1) && sizeOf(broadcastShape(a, b)) <= MOST;
}

const isSmall: Fits = (shape) => sizeOf(shape) * 2 <= MOST;
const lastOf = (x: tf.Tensor) => x.shape[x.rank - 1] ?? 1;
/** A constant filter with as many channels as the images; 16 channels out let the result be blocked. */
const filter = (x: tf.Tensor, height: number, channels: number) => {
  const shape = [height, 2, lastOf(x), channels] as [number, number, number, number];
  return tf.mul(tf.sin(tf.reshape(tf.range(0, sizeOf(shape)), shape)), 0.4) as tf.Tensor4D;
};

/** What random expressions are made of; simple steps first, since shrinking tends to the first. */
export const steps: Readonly<Record<string, Step>> = {
  neg: smooth(tf.neg),
  tanh: smooth(tf.tanh),
  add: binary(tf.add, broadcasts),
  sub: binary(tf.sub, broadcasts),
  mul: binary((a, b) => tf.mul(tf.sin(a), b), broadcasts),
  div: binary((a, b) => tf.div(a, tf.add(tf.square(b), 1)), broadcasts),
  sum: smooth((x) => tf.sum(x, -1, true), rankFrom(1)),
  mean: smooth((x) => tf.mean(x, 0), rankFrom(1)),
  relu: kinked(tf.relu),
  sigmoid: smooth(tf.sigmoid),
  softplus: smooth(tf.softplus),
  exp: smooth((x) => tf.exp(tf.tanh(x))),
  log: smooth((x) => tf.log(tf.add(tf.tanh(x), 1.5))),
  sqrt: smooth((x) => tf.sqrt(tf.add(tf.tanh(x), 1.5))),
  rsqrt: smooth((x) => tf.rsqrt(tf.add(tf.square(x), 0.7))),
  reciprocal: smooth((x) => tf.reciprocal(tf.add(tf.sigmoid(x), 0.5))),
  pow: smooth((x) => tf.pow(tf.add(tf.tanh(x), 1.5), 1.7)),
  square: smooth((x) => tf.square(tf.sin(x))),
  cos: smooth(tf.cos),
  erf: smooth(tf.erf),
  atan: smooth(tf.atan),
  asinh: smooth(tf.asinh),
  abs: kinked(tf.abs),
  elu: kinked(tf.elu),
  leakyRelu: kinked((x) => tf.leakyRelu(x, 0.3)),
  clip: kinked((x) => tf.clipByValue(x, -0.61, 0.83)),
  step: kinked((x) => tf.mul(tf.step(x), x)),
  floor: kinked(tf.floor),
  maximum: binary((a, b) => tf.maximum(tf.add(a, 0.0531), tf.mul(b, 0.97)), broadcasts, false),
  minimum: binary((a, b) => tf.minimum(tf.add(a, 0.0531), tf.mul(b, 0.97)), broadcasts, false),
  where: binary((a, b) => tf.where(tf.greater(tf.add(a, 0.0711), tf.mul(b, 0.93)), a, b), broadcasts, false),
  softmax: smooth((x) => tf.softmax(x), rankFrom(1)),
  logSoftmax: smooth((x) => tf.logSoftmax(x), rankFrom(1)),
  logSumExp: smooth((x) => tf.logSumExp(x, -1), rankFrom(1)),
  standardise: smooth((x) => {
    const { mean, variance } = tf.moments(x, -1, true);
    return tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 0.5)));
  }, rankFrom(1)),
  prod: smooth((x) => tf.prod(tf.tanh(x), x.rank - 1), rankFrom(1)),
  cumsum: smooth((x) => tf.cumsum(x, x.rank - 1, true), rankFrom(1)),
  max: ordered((x) => tf.max(x, 0, true), rankFrom(1)),
  min: ordered((x) => tf.min(x, -1), rankFrom(1)),
  sort: ordered((x) => tf.topk(x, lastOf(x)).values, rankFrom(1)),
  transpose: smooth((x) => tf.transpose(x), rankFrom(2)),
  flatten: smooth((x) => tf.reshape(x, [-1]), rankFrom(2)),
  fold: smooth(
    (x) => tf.reshape(x, [2, -1]),
    (shape) => sizeOf(shape) % 2 === 0,
  ),
  expand: smooth(
    (x) => tf.expandDims(x, 0),
    (shape) => shape.length < 5,
  ),
  tile: smooth(
    (x) => tf.tile(x, [2, ...x.shape.slice(1).map(() => 1)]),
    (shape) => shape.length > 0 && isSmall(shape),
  ),
  pad: smooth(
    (x) =>
      tf.pad(
        x,
        x.shape.map((_, i) => [i % 2, 1] as [number, number]),
        0.3,
      ),
    (shape) => shape.length > 0 && sizeOf(shape.map((d) => d + 2)) <= MOST,
  ),
  slice: smooth(
    (x) => tf.slice(x, 1),
    (shape) => (shape[0] ?? 0) > 1,
  ),
  stridedSlice: smooth(
    (x) => tf.stridedSlice(x, [0], [x.shape[0] ?? 1], [2]),
    (shape) => (shape[0] ?? 0) > 1,
  ),
  gather: smooth(
    (x) => tf.gather(x, [0, (x.shape[0] ?? 1) - 1, 0]),
    (shape) => shape.length > 0 && isSmall(shape),
  ),
  reverse: smooth((x) => tf.reverse(x, -1), rankFrom(1)),
  mirrorPad: smooth(
    (x) =>
      tf.mirrorPad(
        x,
        x.shape.map((_, i) => [i === 0 ? 1 : 0, 0] as [number, number]),
        'symmetric',
      ),
    (shape) => shape.length > 0 && isSmall(shape),
  ),
  concat: binary(
    (a, b) => tf.concat([a, b], -1),
    (a, b) =>
      a.length > 0 &&
      a.length === b.length &&
      a.slice(1).every((d, i) => i === a.length - 2 || d === b[i + 1]) &&
      (a.length === 1 || a[0] === b[0]) &&
      sizeOf(a) + sizeOf(b) <= MOST,
  ),
  matMul: binary(
    (a, b) => tf.matMul(tf.tanh(a), b, false, true),
    (a, b) =>
      a.length > 1 &&
      a.length === b.length &&
      a.at(-1) === b.at(-1) &&
      broadcasts(a.slice(0, -2), b.slice(0, -2)) &&
      sizeOf(a) * (b.at(-2) ?? 1) <= MOST,
  ),
  conv: smooth((x) => tf.conv2d(x as tf.Tensor4D, filter(x, 3, 16), 1, 'same'), isImage),
  strided: smooth((x) => tf.conv2d(x as tf.Tensor4D, filter(x, 2, 16), 2, 'valid'), isImage),
  convByAnother: binary(
    (a, b) => tf.conv2d(a as tf.Tensor4D, tf.tanh(b) as tf.Tensor4D, 1, 'same'),
    (a, b) => isImage(a) && b.length === 4 && a[3] === b[2] && (b[0] ?? 9) <= 3 && (b[1] ?? 9) <= 3,
  ),
  depthwise: smooth((x) => tf.depthwiseConv2d(x as tf.Tensor4D, filter(x, 2, 1), 1, 'same'), isImage),
  grouped: smooth((x) => {
    const channels = lastOf(x);
    const groups = channels % 2 === 0 ? 2 : channels;
    const own = tf.slice(filter(x, 3, 8 * groups), [0, 0, 0, 0], [3, 2, channels / groups, 8 * groups]);
    return groupedConv2d(x, own, { groups });
  }, isImage),
  averagePool: smooth((x) => tf.avgPool(x as tf.Tensor4D, 2, 2, 'valid'), isImage),
  maxPool: ordered((x) => tf.maxPool(x as tf.Tensor4D, 2, 2, 'valid'), isImage),
  overlappingMaxPool: ordered((x) => tf.maxPool(x as tf.Tensor4D, 3, 1, 'same'), isImage),
  resize: smooth((x) => tf.image.resizeBilinear(x as tf.Tensor4D, [3, 5]), isImage),
};

/** A random expression: the numbers and the shapes of its inputs, and steps that take earlier values (counted from the last, modulo what there is). */
export interface Expression {
  /** Seed of the numbers. */
  readonly numbers: number;
  /** Places in `inputShapes`. */
  readonly inputs: readonly number[];
  readonly steps: readonly { readonly step: number; readonly a: number; readonly b: number }[];
}

/** What inputs of an expression may look like. */
export const inputShapes: readonly (readonly number[])[] = [
  [3],
  [],
  [2, 3],
  [3, 1],
  [2, 2, 3],
  [1, 4, 4, 2],
  [2, 4, 4, 3],
  [1, 4, 4, 16],
  [2, 2, 2, 3],
  [1, 2, 3, 16],
  [1, 1, 16, 4],
  [2, 1, 2, 1, 3],
];

export interface Evaluated {
  /** What no step used, as one row. */
  readonly result: tf.Tensor;
  readonly isSmooth: boolean;
  /** One line for each value. */
  readonly text: readonly string[];
}

/** Computes an expression with whatever engine is active. */
export function evaluate(expression: Expression, inputs: readonly tf.Tensor[]): Evaluated {
  const values = [...inputs];
  const text = inputs.map((input, i) => `v${i}: [${input.shape}]`);
  const unused = new Set(values.keys());
  let isSmooth = true;
  for (const { step: choice, a, b } of expression.steps) {
    const [i, j] = [a, b].map((back) => values.length - 1 - (back % values.length)) as [number, number];
    const [x, y] = [values[i], values[j]] as [tf.Tensor, tf.Tensor];
    const fitting = Object.entries(steps).filter(([, { fits }]) => fits(x.shape, y.shape));
    // half of the steps on images are those that only images can take: layouts are where engines differ most
    const forImages = fitting.filter(([, { fits }]) => fits === isImage);
    const choices = choice % 2 && forImages.length > 0 ? forImages : fitting;
    const [name, step] = choices[Math.floor(choice / 2) % choices.length] as [string, Step];
    const value = step.call(x, y);
    for (const used of step.isBinary ? [i, j] : [i]) unused.delete(used);
    unused.add(values.length);
    text.push(`v${values.length} = ${name}(${step.isBinary ? `v${i}, v${j}` : `v${i}`}): [${value.shape}]`);
    values.push(value);
    isSmooth &&= step.isSmooth;
  }
  const rows = [...unused].map((i) => tf.reshape(values[i] as tf.Tensor, [-1]));
  return { result: tf.concat(rows), isSmooth, text };
}
