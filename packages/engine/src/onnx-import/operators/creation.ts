import * as tf from '@tensorflow/tfjs-core';
import { CONSTANT_LIMIT } from '../../graph.ts';
import { sizeOf } from '../../ndarray.ts';
import type { Call } from '../call.ts';
import type { OperatorTable } from '../operator.ts';
import { knownValue, plainValue, type Value } from '../value.ts';

function constant(call: Call): Value {
  const tensor = call.tensorValue('value');
  if (tensor) return tensor;
  if (call.hasAttribute('value_float'))
    return knownValue({ shape: [], dtype: 'float32', data: [call.float('value_float', 0)] });
  if (call.hasAttribute('value_int'))
    return knownValue({ shape: [], dtype: 'int32', data: [call.integer('value_int', 0)] });
  const floats = call.floats('value_floats');
  if (floats && call.hasAttribute('value_floats'))
    return knownValue({ shape: [floats.length], dtype: 'float32', data: floats });
  const integers = call.integers('value_ints');
  if (integers) return knownValue({ shape: [integers.length], dtype: 'int32', data: integers });
  throw call.error(
    'UNSUPPORTED_OPERATION',
    `its value is one of ${[...call.node.attributes.keys()]}, which is not a dense tensor of numbers`,
  );
}

function constantOfShape(call: Call): Value {
  const shape = call.numbers(0);
  if (!shape.every((dimension) => Number.isInteger(dimension) && dimension >= 0) || sizeOf(shape) > CONSTANT_LIMIT)
    throw call.error('UNSUPPORTED_OPERATION', `a constant of shape [${shape}]; the limit is ${CONSTANT_LIMIT} numbers`);
  const known = call.tensorValue('value')?.known;
  const value = known?.data[0] ?? 0;
  return knownValue({ shape, dtype: known?.dtype ?? 'float32', data: Array<number>(sizeOf(shape)).fill(value) });
}

function range(call: Call): Value {
  const [start = 0, limit = 0, delta = 1] = [0, 1, 2].flatMap((i) => call.numbers(i));
  const length = Math.max(0, Math.ceil((limit - start) / delta));
  if (!(length <= CONSTANT_LIMIT))
    throw call.error(
      'UNSUPPORTED_OPERATION',
      `numbers from ${start} to ${limit} by ${delta}; the limit is ${CONSTANT_LIMIT} of them`,
    );
  return knownValue({
    shape: [length],
    dtype: call.value(0).dtype,
    data: Array.from({ length }, (_, i) => start + i * delta),
  });
}

function oneHot(call: Call): Value {
  const axis = call.integer('axis', -1);
  const [depth = 0, off = 0, on = 1] = [...call.numbers(1), ...call.numbers(2)];
  if (axis !== -1 || !Number.isInteger(depth) || depth < 1 || depth > CONSTANT_LIMIT)
    throw call.error('UNSUPPORTED_OPERATION', `axis ${axis}, depth ${depth}; only the last axis is supported`);
  const dtype = call.value(2).dtype;
  return plainValue(tf.cast(tf.oneHot(tf.cast(call.plain(0), 'int32') as tf.Tensor1D, depth, on, off), dtype));
}

/** Operators that make values out of nothing or of shapes. */
export const creationOperators = {
  Constant: { evaluate: constant },
  ConstantOfShape: { reads: [0], evaluate: constantOfShape },
  OneHot: { reads: [1, 2], evaluate: oneHot },
  Range: { reads: [0, 1, 2], evaluate: range },
} satisfies OperatorTable;
