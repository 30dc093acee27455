import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bucketOf, runRows } from './batching.ts';
import { createEngine, type Engine } from './engine.ts';
import { float32, int32, type NdArray, scalar } from './ndarray.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

test.each([
  [1, 64, 1],
  [2, 64, 4],
  [16, 64, 16],
  [17, 64, 64],
  [500, 64, 64],
  [500, 8, 8],
  [3, 2, 2],
])('%i rows, at most %i a run: compiled for %i', (rows, largest, expected) => {
  expect(bucketOf(rows, largest)).toBe(expected);
});

type Inputs = { fixed: { scale: tf.Tensor }; rows: { x: tf.Tensor; i: tf.Tensor } };
let traced = 0;
function scaled({ fixed: { scale }, rows: { x, i } }: Inputs) {
  traced++;
  return { sum: tf.mul(tf.sum(x, 1), scale), next: tf.add(i, tf.scalar(1, 'int32')) };
}
const inputsOf = (count: number) => ({
  fixed: { scale: scalar(10) },
  rows: {
    x: float32(
      Array.from({ length: 2 * count }, (_, k) => k),
      [count, 2],
    ),
    i: int32(
      Array.from({ length: count }, (_, k) => k),
      [count],
    ),
  },
});

describe('a function on any number of rows', () => {
  test.each([1, 3, 4, 9, 130])('gives each of %i rows what it gives it alone', async (count) => {
    const { sum, next } = (await runRows(engine, scaled as never, inputsOf(count))) as Record<'sum' | 'next', NdArray>;
    expect(sum.shape).toEqual([count]);
    expect(Array.from(sum.data)).toEqual(Array.from({ length: count }, (_, k) => 10 * (4 * k + 1)));
    expect(next.dtype).toBe('int32');
    expect(Array.from(next.data)).toEqual(Array.from({ length: count }, (_, k) => k + 1));
  });

  test('compiles four shapes at most', async () => {
    traced = 0;
    for (let count = 1; count <= 70; count++) await runRows(engine, scaled as never, inputsOf(count));
    expect(traced).toBeLessThanOrEqual(4);
  });

  test('refuses arrays that do not fit together', async () => {
    const { fixed, rows } = inputsOf(3);
    const wrong = { fixed, rows: { ...rows, i: int32([1, 2], [2]) } };
    await expect(runRows(engine, scaled as never, wrong)).rejects.toThrow(/'i' has 2 rows, 'x' has 3/);
    await expect(runRows(engine, scaled as never, { fixed, rows: {} })).rejects.toThrow(/'scaled' has no rows/);
    await expect(runRows(engine, scaled as never, inputsOf(3), { batchSize: 0 })).rejects.toThrow(/batchSize is 0/);
    const total = ({ rows: { x } }: Inputs) => tf.sum(x);
    await expect(runRows(engine, total as never, inputsOf(3))).rejects.toThrow(/'total' gave its output as \[\] for 4/);
  });

  test('stops between runs', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(runRows(engine, scaled as never, inputsOf(3), { signal })).rejects.toThrow('enough');
  });
});
