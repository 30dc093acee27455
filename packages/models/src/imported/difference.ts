import type { NdArray } from '@jsigr/engine';

type Numbers = NdArray['data'];

/** Largest difference, relative to the largest size in `expected`; NaN or infinite, so within no tolerance, where a number is not finite or missing. */
export function relativeDifference(found: Numbers, expected: Numbers): number {
  if (found.length !== expected.length) return Number.NaN;
  let [scale, largest] = [1e-6, 0];
  for (const [i, value] of expected.entries()) {
    scale = Math.max(scale, Math.abs(value));
    largest = Math.max(largest, Math.abs((found[i] ?? Number.NaN) - value));
  }
  return largest / scale;
}
