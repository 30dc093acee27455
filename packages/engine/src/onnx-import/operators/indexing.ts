import * as tf from '@tensorflow/tfjs-core';
import { CONSTANT_LIMIT } from '../../graph.ts';
import { sizeOf } from '../../ndarray.ts';
import { type Call, normalAxis } from '../call.ts';
import type { OperatorTable } from '../operator.ts';
import { plainValue, type Value } from '../value.ts';

/** Tuples of indices into the leading axes of a value: their number of axes, and for each tuple the place of what it points at. */
function tuples(call: Call, shape: readonly number[]): { readonly depth: number; readonly places: readonly number[] } {
  const indices = call.value(1);
  const depth = indices.shape.at(-1) ?? 0;
  if (depth < 1 || depth > shape.length)
    throw call.error('SHAPE_MISMATCH', `indices of shape [${indices.shape}] into a value of shape [${shape}]`);
  const numbers = call.numbers(1);
  const places = Array.from({ length: numbers.length / depth }, (_, i) =>
    numbers
      .slice(i * depth, (i + 1) * depth)
      .reduce((place, index, axis) => place * (shape[axis] ?? 1) + inside(call, index, shape[axis] ?? 0), 0),
  );
  return { depth, places };
}

/** An index, counted from the end if it is negative. */
function inside(call: Call, index: number, length: number): number {
  const place = index < 0 ? index + length : index;
  if (place >= 0 && place < length) return place;
  throw call.error('SHAPE_MISMATCH', `the index ${index} is outside an axis of ${length}`);
}

function pick(rows: tf.Tensor, places: readonly number[]): tf.Tensor {
  return tf.gather(rows, tf.tensor1d([...places], 'int32'));
}

function gatherTuples(call: Call): Value {
  if (call.integer('batch_dims', 0) !== 0)
    throw call.error('UNSUPPORTED_OPERATION', 'only batch_dims of 0 is supported');
  const x = call.plain(0);
  const { depth, places } = tuples(call, x.shape);
  const rest = x.shape.slice(depth);
  const picked = pick(tf.reshape(x, [-1, ...rest]), places);
  return plainValue(tf.reshape(picked, [...call.value(1).shape.slice(0, -1), ...rest]));
}

/** Rows of the value, some of them replaced (or added to): a choice among the old rows and the new ones. */
function scatterTuples(call: Call): Value {
  const [x, updates] = [call.plain(0), call.plain(2)];
  const { depth, places } = tuples(call, x.shape);
  const [count, width] = [sizeOf(x.shape.slice(0, depth)), sizeOf(x.shape.slice(depth))];
  if (count > CONSTANT_LIMIT)
    throw call.error('UNSUPPORTED_OPERATION', `it writes to ${count} places; at most ${CONSTANT_LIMIT} are supported`);
  if (updates.size !== places.length * width)
    throw call.error('SHAPE_MISMATCH', `updates of shape [${updates.shape}] for ${places.length} places of ${width}`);
  const [old, fresh] = [tf.reshape(x, [count, width]), tf.reshape(updates, [places.length, width])];
  const reduction = call.text('reduction', 'none') || 'none';
  if (reduction === 'add') {
    const indices = tf.tensor2d([...places], [places.length, 1], 'int32');
    return plainValue(tf.reshape(tf.add(old, tf.scatterND(indices, fresh, [count, width])), x.shape));
  }
  if (reduction !== 'none')
    throw call.error('UNSUPPORTED_OPERATION', `its reduction is '${reduction}'; there are none and add`);
  const sources = Array.from({ length: count }, (_, i) => i);
  for (const [i, place] of places.entries()) sources[place] = count + i;
  return plainValue(tf.reshape(pick(tf.concat([old, fresh]), sources), x.shape));
}

/** Single numbers, each by an index along one axis. */
function gatherElements(call: Call): Value {
  const x = call.plain(0);
  const axis = normalAxis(call, call.integer('axis', 0), x.rank);
  const { shape } = call.value(1);
  if (shape.length !== x.rank || shape.some((size, i) => i !== axis && size > (x.shape[i] ?? 0)))
    throw call.error(
      'SHAPE_MISMATCH',
      `indices of shape [${shape}] along axis ${axis} of a value of shape [${x.shape}]`,
    );
  const places = call.numbers(1).map((index, i) => {
    let [rest, place, step] = [i, 0, 1];
    for (let a = shape.length - 1; a >= 0; a--) {
      const [size, length] = [shape[a] ?? 1, x.shape[a] ?? 1];
      place += step * (a === axis ? inside(call, index, length) : rest % size);
      rest = Math.floor(rest / size);
      step *= length;
    }
    return place;
  });
  return plainValue(tf.reshape(pick(tf.reshape(x, [-1]), places), [...shape]));
}

/** Operators that read or write places given by lists of indices, which must be known while reading. */
export const indexingOperators = {
  GatherElements: { reads: [1], evaluate: gatherElements },
  GatherND: { reads: [1], evaluate: gatherTuples },
  ScatterND: { reads: [1], evaluate: scatterTuples },
} satisfies OperatorTable;
