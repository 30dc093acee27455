import { int32, type NdArray } from '@jsigr/engine';

/** Each of the numbers `times` times in a row. */
export function repeatEach(numbers: NdArray, times: number): NdArray {
  const repeated = Int32Array.from(
    { length: numbers.data.length * times },
    (_, i) => numbers.data[Math.floor(i / times)] ?? 0,
  );
  return int32(repeated, [repeated.length]);
}

/** All numbers `times` times over. */
export function repeatAll(numbers: NdArray, times: number): NdArray {
  const count = numbers.data.length;
  const repeated = Int32Array.from({ length: count * times }, (_, i) => numbers.data[i % count] ?? 0);
  return int32(repeated, [repeated.length]);
}

/** The largest divisor of `count` that is at most `limit`, and at least 1: equal chunks need one compiled shape. */
export function chunkSize(count: number, limit: number): number {
  for (let size = Math.min(count, Math.floor(limit)); size > 1; size--) if (count % size === 0) return size;
  return 1;
}

/** 64 MiB of float32. */
const MOST_NUMBERS = 2 ** 24;

/** Images of so many numbers in one run: enough to keep the processor busy, few enough to keep memory small. Multiples of what `predict` takes at once. */
export function rowsAtOnce(size: number): number {
  return [256, 64, 16, 4].find((rows) => rows * size <= MOST_NUMBERS) ?? 1;
}
