import * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../ndarray.ts';
import type { FileNode } from './decode.ts';
import { isKnown, knownValue, plainOf, plainValue, type Value } from './value.ts';

/** A model that was exported for a batch of `declared` images and is evaluated for `actual` ones. */
export interface FixedBatch {
  readonly declared: number;
  readonly actual: number;
  /** Whether a value has the images' batch as its first axis, as far as that can be followed. */
  readonly isBatched: (value: Value) => boolean;
}

/**
 * PyTorch writes the batch of its example into the shapes that a model reshapes to, unless told otherwise. Where such a shape is met by a
 * batch of another size, the first dimension means the batch. What cannot be read this way fails later for its shape.
 */
export function withActualBatch(
  { operator }: FileNode,
  inputs: readonly (Value | undefined)[],
  batch: FixedBatch,
): (Value | undefined)[] {
  const [value, target] = inputs;
  if ((operator === 'Reshape' || operator === 'Expand') && value && target && isKnown(target) && batch.isBatched(value))
    return [value, targetFor(value, target, batch), ...inputs.slice(2)];
  if (operator === 'Concat') return inputs.map((input) => input && repeated(input, inputs, batch));
  return [...inputs];
}

function targetFor(value: Value, target: Value, { declared, actual }: FixedBatch): Value {
  const shape = Array.from(target.known?.data ?? []);
  const [first = 0, ...rest] = shape;
  const isOpen = shape.includes(-1) || shape.includes(0);
  const fits = !isOpen && sizeOf(shape) === sizeOf(value.shape);
  const means = isOpen
    ? first === declared && value.shape[0] === actual
    : (sizeOf(shape) / declared) * actual === sizeOf(value.shape);
  if (fits || !means) return target;
  const data = [(first / declared) * actual, ...rest];
  return Number.isInteger(data[0]) ? knownValue({ shape: target.shape, dtype: 'int32', data }) : target;
}

/** A class token, say, that was stored once for each image of the batch. */
function repeated(
  value: Value,
  others: readonly (Value | undefined)[],
  { declared, actual, isBatched }: FixedBatch,
): Value {
  const meetsBatch = others.some((other) => other && isBatched(other) && other.shape[0] === actual);
  if (declared !== 1 || isBatched(value) || !meetsBatch || value.shape[0] !== 1 || value.shape.length < 2) return value;
  return plainValue(
    tf.tile(
      plainOf(value),
      value.shape.map((_, i) => (i === 0 ? actual : 1)),
    ),
  );
}
