import { type Engine, float32, int32, type NdArray } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import type { AttackContext } from '../attack.ts';
import type { Norm } from '../norms.ts';

/** Images given as rows of numbers, attacked in one ball: sample i is row i. */
export function contextOf(
  engine: Engine,
  source: Classifier,
  rows: readonly (readonly number[])[],
  labels: readonly number[],
  norm: Norm,
  epsilon: number,
): AttackContext {
  const images = float32(rows.flat(), [rows.length, ...source.input]);
  return {
    engine,
    source,
    images,
    labels: int32([...labels], [labels.length]),
    norm,
    epsilons: rows.map(() => epsilon),
    seed: 11,
    attempts: rows.map(() => 0),
    sampleIndices: rows.map((_, index) => index),
    pool: { images, labels: int32([...labels], [labels.length]) },
  };
}

/** One image of an array, as plain numbers. */
export function imageOf(array: NdArray, row = 0): number[] {
  const size = array.data.length / (array.shape[0] ?? 1);
  return [...array.data.subarray(row * size, (row + 1) * size)];
}
