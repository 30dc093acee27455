import * as tf from '@tensorflow/tfjs-core';
import type { Call } from './call.ts';
import type { OnnxOperator } from './operator.ts';
import { imagesOf, plainOf, plainValue, type Value } from './value.ts';

/** Attributes with one entry an axis of the window, and what a second axis of one place has there. */
const SECOND: Readonly<Record<string, number>> = {
  kernel_shape: 1,
  strides: 1,
  dilations: 1,
  pads: 0,
  output_padding: 0,
  output_shape: 1,
};

/** An operator with windows on images, for lists [N, C, L] too: they are images [N, C, L, 1]. */
export function alsoOneDimensional({ evaluate, ...rest }: OnnxOperator): OnnxOperator {
  return {
    ...rest,
    evaluate: (call) => {
      if (call.value(0).shape.length !== 3) return evaluate(call);
      return [evaluate(widened(call))].flat().map((value) => plainValue(tf.squeeze(plainOf(value), [3])));
    },
  };
}

function widened(call: Call): Call {
  const value = (index: number): Value => {
    const given = call.value(index);
    return given.shape.length === 3 ? plainValue(tf.expandDims(plainOf(given), 3)) : given;
  };
  return {
    ...call,
    value,
    plain: (index) => plainOf(value(index)),
    images: (index) => imagesOf(value(index)),
    integers: (name) => {
      const second = SECOND[name];
      // pads have the begin of each axis, then the end of each
      return second === undefined ? call.integers(name) : call.integers(name)?.flatMap((entry) => [entry, second]);
    },
  };
}
