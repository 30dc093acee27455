import * as tf from '@tensorflow/tfjs-core';
import { float32, type NdArray, sizeOf } from '../ndarray.ts';
import type { Sample, Source } from '../operations/samples.ts';
import { draw } from '../testing.ts';

/**
 * Special places for the float inputs of a sample. Differences mean nothing there (kinks, infinities), but all engines must give the same derivatives.
 */
export const points: Readonly<Record<string, (name: string, shape: readonly number[]) => NdArray>> = {
  zero: (_, shape) => float32(new Float32Array(sizeOf(shape)), shape),
  ties: (name, shape) => mapped(draw(name, shape, -1, 2), (value) => Math.floor(value) / 2),
  negative: (name, shape) => draw(name, shape, -2, -0.5),
  large: (name, shape) => mapped(draw(name, shape), (value) => 100 * value),
};

function mapped({ data, shape }: NdArray, f: (value: number) => number): NdArray {
  return float32(Array.from(data, f), shape);
}

/** Shapes on which a sample that takes any is repeated. */
const SHAPES: Readonly<Record<string, readonly number[]>> = { 'one element': [1], 'five dimensions': [2, 1, 2, 1, 3] };

function withShape(sample: Sample, shape: readonly number[]): Sample {
  return { ...sample, inputs: sample.inputs.map((source): Source => ({ ...source, shape })) };
}

/** An empty tensor cannot be an input of a compiled function, but it can occur inside: its sum is zero, and so are the derivatives. */
function onEmpty(sample: Sample): Sample {
  const call: Sample['call'] = (...inputs) => {
    const result = sample.call(...inputs.map((input) => tf.slice(input, [0], [0])));
    return tf.add(tf.sum(result), inputs[0] as tf.Tensor);
  };
  return { ...withShape(sample, [2]), call };
}

/** The sample with inputs of special shapes. */
export function reshaped(sample: Sample): readonly (readonly [string, Sample])[] {
  if (!sample.anyShape) return [];
  return [
    ...Object.entries(SHAPES).map(([name, shape]) => [name, withShape(sample, shape)] as const),
    ['empty', onEmpty(sample)],
  ];
}
