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
