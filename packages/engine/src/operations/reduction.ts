import * as tf from '@tensorflow/tfjs-core';
import { fillValue, type Node, sameShape } from '../graph.ts';
import { sizeOf } from '../ndarray.ts';
import { at, type OnnxGraph } from '../onnx/graph.ts';
import { dimensions4, rows, rowsValue, splitBlocks, type Value } from '../onnx/layout.ts';
import { composite, type GradientContext, type Operation, type Primitive, primitive } from './operation.ts';
import { asFloat, fillNode, single } from './rules.ts';
import { booleans, integers, real, type Sample, sample } from './samples.ts';

/** TensorFlow.js calls the axes of Max `reductionIndices`. */
type ReductionAttributes = {
  axis?: number | readonly number[];
  reductionIndices?: number | readonly number[];
  keepDims: boolean;
};

function axesOf({ axis, reductionIndices }: ReductionAttributes, shape: readonly number[]): number[] {
  const given = (axis ?? reductionIndices ?? undefined) as number | number[] | undefined;
  return tf.util.parseAxisParam(given as number | number[], [...shape]).sort((a, b) => a - b);
}

function keptShape(shape: readonly number[], axes: readonly number[]): number[] {
  return shape.map((dimension, i) => (axes.includes(i) ? 1 : dimension));
}

function reduction(
  operator: string,
  row: Pick<Primitive<ReductionAttributes>, 'compose' | 'gradient' | 'samples'> & {
    /** The result for `count` equal values. */
    readonly evaluate: (value: number, count: number) => number;
    readonly axisName?: 'axis' | 'reductionIndices';
  },
): Operation {
  const { evaluate, axisName = 'axis', ...rest } = row;
  return primitive<ReductionAttributes>({
    ...rest,
    inputs: ['x'],
    infer(inputs, attributes) {
      const x = single(inputs);
      const axes = axesOf(attributes, x.shape);
      const keepDims = attributes.keepDims ?? false;
      const shape = keepDims ? keptShape(x.shape, axes) : x.shape.filter((_, i) => !axes.includes(i));
      return { shape, dtype: x.dtype, attributes: { [axisName]: axes, keepDims } };
    },
    simplify({ inputs, shape, dtype, attributes }, add) {
      const x = single(inputs);
      const axes = axesOf(attributes, x.shape);
      const count = sizeOf(axes.map((axis) => at(x.shape, axis)));
      const value = fillValue(x);
      if (value !== undefined) return fillNode(add, shape, Math.fround(evaluate(value, count)), dtype);
      if (axes.every((axis) => x.shape[axis] === 1) && evaluate(1, 1) === 1)
        return sameShape(x.shape, shape) ? x : add('Reshape', [x], { shape });
      return undefined;
    },
    lower: (graph, inputs, node) => lowerReduction(graph, operator, single(inputs), node),
  });
}

function lowerReduction(graph: OnnxGraph, operator: string, x: Value, { shape, attributes, dtype }: Node): Value {
  const axes = axesOf(attributes as ReductionAttributes, x.shape);
  if (x.layout !== 'blocked' || !axes.includes(1) || !axes.includes(2)) {
    const reduced = graph.reduce(operator, rows(graph, x), axes);
    return rowsValue(graph.reshape(reduced, shape), dtype);
  }
  // the spatial axes first, in the blocked layout: what is left is [N, C]
  const [n, , , c] = dimensions4(x.shape);
  const spatial = graph.reshape(graph.reduce(operator, splitBlocks(graph, x.node), [2, 3]), [n, c]);
  const rest = axes.filter((axis) => axis === 0 || axis === 3).map((axis) => (axis === 0 ? 0 : 1));
  return rowsValue(graph.reshape(graph.reduce(operator, spatial, rest), shape), dtype);
}

/** A reduced tensor repeated along the axes that were reduced (`broadcastTo` does not repeat zero times). */
function spread(value: tf.Tensor, x: tf.Tensor, attributes: ReductionAttributes): tf.Tensor {
  const axes = axesOf(attributes, x.shape);
  const reps = x.shape.map((dimension, i) => (axes.includes(i) ? dimension : 1));
  return tf.tile(tf.reshape(value, keptShape(x.shape, axes)), reps);
}

/** The gradient of a maximum is shared equally by all places that attain it. */
function shareOfExtremum({ dy, inputs, output, attributes }: GradientContext<ReductionAttributes>) {
  const x = single(inputs);
  return [
    () => {
      const attained = asFloat(tf.equal(x, spread(output, x, attributes)));
      const count = tf.sum(attained, axesOf(attributes, x.shape), attributes.keepDims);
      return tf.mul(attained, spread(tf.div(dy, count), x, attributes));
    },
  ];
}

const reductionSamples = (call: (x: tf.Tensor, axis?: number[], keep?: boolean) => tf.Tensor): Sample[] => [
  sample([real([2, 3])], (x) => tf.square(call(x))),
  sample([real([2, 3, 4])], (x) => tf.square(call(x, [1]))),
  sample([real([2, 3, 4])], (x) => tf.square(call(x, [-1, 0], true))),
  sample(
    [real([2, 2, 3, 16])],
    (x) => tf.square(call(tf.conv2d(x as tf.Tensor4D, tf.ones([1, 1, 16, 16]), 1, 'same'), [1, 2])),
    {
      order: 1,
    },
  ),
];

/** Distinct values, so that differences do not cross a tie. */
const extremumSamples = (call: (x: tf.Tensor, axis?: number[], keep?: boolean) => tf.Tensor): Sample[] => {
  const distinct = (x: tf.Tensor) => tf.add(tf.mul(x, 0.1), tf.reshape(tf.mul(tf.range(0, x.size), 0.7), x.shape));
  return [
    sample([real([2, 3])], (x) => tf.square(call(distinct(x)))),
    sample([real([2, 3, 4])], (x) => tf.square(call(distinct(x), [1]))),
    sample([real([2, 3, 4])], (x) => tf.square(call(distinct(x), [-1, 0], true))),
  ];
};

function argument(operator: 'ArgMax' | 'ArgMin', call: (x: tf.Tensor, axis: number) => tf.Tensor): Operation {
  return primitive<{ axis: number }>({
    inputs: ['x'],
    compose(inputs, { axis }) {
      const x = single(inputs);
      return x.dtype === 'bool' ? call(tf.cast(x, 'int32'), axis) : undefined;
    },
    infer(inputs, { axis }) {
      const x = single(inputs);
      const normal = single(tf.util.parseAxisParam(axis, [...x.shape]));
      return { shape: x.shape.filter((_, i) => i !== normal), dtype: 'int32', attributes: { axis: normal } };
    },
    gradient: 'zero',
    lower(graph, inputs, { shape, attributes: { axis } }) {
      const index = graph.node(operator, [rows(graph, single(inputs))], shape, { attributes: { axis, keepdims: 0 } });
      return rowsValue(graph.cast(index, 'int32'), 'int32');
    },
    samples: [
      sample([real([3, 4])], (x) => call(x, 1)),
      sample([real([3, 4, 2])], (x) => call(x, 0)),
      sample([booleans([3, 4])], (x) => call(x, 1)),
    ],
  });
}

/** True where all (or any) of the booleans are: the minimum (or maximum) of their numbers. */
function quantifier(call: typeof tf.all, reduce: typeof tf.min): Operation {
  return composite<{ axis: readonly number[]; keepDims: boolean }>({
    inputs: ['x'],
    compose: (inputs, { axis, keepDims }) =>
      tf.cast(reduce(asFloat(single(inputs)), axis as number[] | undefined, keepDims), 'bool'),
    samples: [sample([booleans([3, 4])], (x) => call(x, 1)), sample([booleans([3, 4])], (x) => call(x))],
  });
}

export const reductions = {
  Sum: reduction('ReduceSum', {
    evaluate: (value, count) => value * count,
    gradient: ({ dy, inputs, attributes }) => [() => spread(dy, single(inputs), attributes)],
    samples: reductionSamples(tf.sum),
  }),
  Mean: reduction('ReduceMean', {
    evaluate: (value) => value,
    compose(inputs, { axis, keepDims }) {
      const x = single(inputs);
      return x.dtype === 'float32' ? undefined : tf.mean(asFloat(x), axis as number[] | undefined, keepDims);
    },
    gradient: ({ dy, inputs, attributes }) => [
      () => spread(tf.div(dy, single(inputs).size / dy.size), single(inputs), attributes),
    ],
    samples: [...reductionSamples(tf.mean), sample([integers([2, 3], 9)], (x) => tf.mean(x, 1))],
  }),
  Max: reduction('ReduceMax', {
    evaluate: (value) => value,
    axisName: 'reductionIndices',
    gradient: shareOfExtremum,
    samples: extremumSamples(tf.max),
  }),
  Min: reduction('ReduceMin', {
    evaluate: (value) => value,
    gradient: shareOfExtremum,
    samples: extremumSamples(tf.min),
  }),
  ArgMax: argument('ArgMax', tf.argMax),
  ArgMin: argument('ArgMin', tf.argMin),
  All: quantifier(tf.all, tf.min),
  Any: quantifier(tf.any, tf.max),
} satisfies Record<string, Operation>;
