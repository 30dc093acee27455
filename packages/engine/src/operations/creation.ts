import * as tf from '@tensorflow/tfjs-core';
import { fillValue } from '../graph.ts';
import type { DType } from '../ndarray.ts';
import { ELEMENT_TYPE } from '../onnx/graph.ts';
import { elementwise } from '../onnx/layout.ts';
import { composite, type Operation, primitive } from './operation.ts';
import { fillNode, single } from './rules.ts';
import { integers, real, sample } from './samples.ts';

type FillAttributes = { shape: readonly number[]; value: number; dtype: DType | undefined };

export const creation = {
  Fill: primitive<FillAttributes>({
    inputs: [],
    infer: (_, { shape, value, dtype = 'float32' }) => ({ shape, dtype, attributes: { shape, value, dtype } }),
    gradient: 'zero',
    lower: (_, __, { shape, dtype, attributes: { value } }) => ({ layout: 'fill', shape, dtype, value }),
    samples: [sample([real([2, 3])], (x) => tf.mul(x, tf.fill([2, 3], 2.5)))],
  }),
  OnesLike: composite({
    inputs: ['x'],
    compose: (inputs) => tf.fill(single(inputs).shape, 1, single(inputs).dtype),
    samples: [sample([real([2, 3])], (x) => tf.mul(x, tf.onesLike(x)))],
  }),
  ZerosLike: composite({
    inputs: ['x'],
    compose: (inputs) => tf.fill(single(inputs).shape, 0, single(inputs).dtype),
    samples: [sample([real([2, 3])], (x) => tf.add(x, tf.zerosLike(x)))],
  }),
  Range: composite<{ start: number; stop: number; step: number; dtype: 'float32' | 'int32' }>({
    inputs: [],
    compose(_, { start, stop, step, dtype }) {
      const length = Math.max(0, Math.ceil((stop - start) / step));
      return tf.tensor1d(
        Array.from({ length }, (_, i) => start + i * step),
        dtype,
      );
    },
    samples: [sample([real([4])], (x) => tf.mul(x, tf.range(0, 4)))],
  }),
  LinSpace: composite<{ start: number; stop: number; num: number }>({
    inputs: [],
    compose: (_, { start, stop, num }) =>
      tf.tensor1d(Array.from({ length: num }, (_, i) => start + (i * (stop - start)) / Math.max(1, num - 1))),
    samples: [sample([real([4])], (x) => tf.mul(x, tf.linspace(0.5, 2, 4)))],
  }),
  // markers of variables, and values behind stopGradient; they vanish when tracing is over
  Identity: primitive<{ stop: boolean }>({
    inputs: ['x'],
    infer: (inputs, { stop = false }) => ({
      shape: single(inputs).shape,
      dtype: single(inputs).dtype,
      attributes: { stop },
    }),
    simplify: ({ inputs, attributes: { stop } }) => (stop ? undefined : single(inputs)),
    gradient: ({ dy, attributes: { stop } }) => (stop ? [undefined] : [() => dy]),
    lower: (_, inputs) => single(inputs),
    samples: [sample([real([2, 3])], (x) => tf.square(tf.clone(x)))],
  }),
  Cast: primitive<{ dtype: DType }>({
    inputs: ['x'],
    infer: (inputs, { dtype }) => ({ shape: single(inputs).shape, dtype, attributes: { dtype } }),
    simplify({ inputs, shape, dtype }, add) {
      const x = single(inputs);
      if (x.dtype === dtype) return x;
      const value = fillValue(x);
      if (value === undefined) return undefined;
      return fillNode(
        add,
        shape,
        dtype === 'bool' ? Number(value !== 0) : dtype === 'int32' ? Math.trunc(value) : value,
        dtype,
      );
    },
    gradient: 'zero', // there is only one float type
    lower: (graph, inputs, { dtype }) =>
      elementwise(graph, 'Cast', inputs, { dtype, attributes: { to: ELEMENT_TYPE[dtype] } }),
    samples: [
      sample([integers([2, 3], 5)], (x) => tf.cast(x, 'float32')),
      sample([integers([2, 3], 2)], (x) => tf.cast(x, 'bool')),
      sample([real([2, 3], -5, 5)], (x) => tf.cast(x, 'int32')),
    ],
  }),
} satisfies Record<string, Operation>;
