// Helpers of the tests; not part of the package.
import { float32, int32, type NdArray, sizeOf } from './ndarray.ts';
import type { Operation } from './operations/operation.ts';
import type { Source } from './operations/samples.ts';
import { operations } from './operations/table.ts';
import { uniform } from './random.ts';

/** Uniform numbers in [low, high). */
export function draw(name: string, shape: readonly number[], low = -1, high = 1): NdArray {
  const numbers = uniform({ seed: 7, stream: name }, sizeOf(shape));
  return float32(
    numbers.map((number) => low + (high - low) * number),
    shape,
  );
}

/** An input of a conformance sample. */
export function drawSource(name: string, { shape, dtype, low, high, avoid, margin }: Source): NdArray {
  const numbers = draw(name, shape, low, high).data;
  if (dtype === 'int32')
    return int32(
      Array.from(numbers, (value) => Math.min(Math.floor(value), high - 1)),
      shape,
    );
  if (dtype === 'bool') return { dtype, shape, data: Uint8Array.from(numbers, (value) => Number(value >= 1)) };
  const isClear = (value: number) => avoid.every((point) => Math.abs(value - point) >= margin);
  const move = (value: number): number => (isClear(value) ? value : move(value + 2 * margin));
  return float32(
    Array.from(numbers, (value) => move(value)),
    shape,
  );
}

/** Largest difference relative to the largest expected number. */
export function relativeError(actual: NdArray, expected: NdArray, floor = 1e-2): number {
  const scale = Math.max(floor, ...Array.from(expected.data, Math.abs));
  return Math.max(
    0,
    ...Array.from(expected.data, (value, i) => {
      const difference = Math.abs(value - (actual.data[i] ?? Number.NaN)) / scale;
      return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
    }),
  );
}

/** a + factor * b */
export function axpy(a: NdArray, factor: number, b: NdArray): NdArray {
  return float32(
    Float32Array.from(a.data, (value, i) => value + factor * (b.data[i] ?? 0)),
    a.shape,
  );
}

export function dot(a: NdArray, b: NdArray): number {
  return Array.from(a.data).reduce((sum, value, i) => sum + value * (b.data[i] ?? 0), 0);
}

/** The derivative at 0 of what `at` gives, by five points: the error falls with the fourth power of the step. */
export async function centralDifference(at: (step: number) => Promise<NdArray>, step: number): Promise<NdArray> {
  const [far, near] = [2 * step, step];
  const [a, b, c, d] = [await at(far), await at(near), await at(-near), await at(-far)];
  const numbers = Array.from(b.data, (value, i) => {
    const [w, y, z] = [a.data[i] ?? 0, c.data[i] ?? 0, d.data[i] ?? 0];
    return (8 * (value - y) - (w - z)) / (12 * step);
  });
  return float32(numbers, b.shape);
}

/** Runs `body` with another row for an operation. */
export async function withOperation<T>(kernel: string, row: Operation, body: () => Promise<T>): Promise<T> {
  const table = operations as Map<string, Operation>;
  const before = table.get(kernel);
  table.set(kernel, row);
  try {
    return await body();
  } finally {
    if (before) table.set(kernel, before);
    else table.delete(kernel);
  }
}
