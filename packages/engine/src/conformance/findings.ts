import { sameShape } from '../graph.ts';
import type { NdArray } from '../ndarray.ts';

/** The outcome of one check: passed if there is no problem. */
export interface Finding {
  /** What was checked, so that it can be found again: operation, case, what, engine. */
  readonly check: string;
  readonly problem?: string;
}

/** Whether two arrays are the same but for rounding. */
export function compare(check: string, actual: NdArray, expected: NdArray, tolerance: number, floor?: number): Finding {
  if (!sameShape(actual.shape, expected.shape) || actual.dtype !== expected.dtype)
    return { check, problem: `${actual.dtype}[${actual.shape}] instead of ${expected.dtype}[${expected.shape}]` };
  const error = deviation(actual, expected, floor);
  return error <= tolerance ? { check } : { check, problem: `off by ${error.toPrecision(2)}, allowed ${tolerance}` };
}

/** Runs a check that may throw, which is a finding too. */
export async function attempt(check: string, body: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await body();
  } catch (error) {
    return [{ check, problem: error instanceof Error ? error.message : String(error) }];
  }
}

/**
 * Largest difference relative to the largest finite number expected (at least `floor`). Infinities and NaN are equal to themselves only.
 */
export function deviation(actual: NdArray, expected: NdArray, floor = 1e-2): number {
  const sizes = Array.from(expected.data, Math.abs).filter(Number.isFinite);
  const scale = Math.max(floor, ...sizes);
  const differences = Array.from(expected.data, (value, i) => {
    const other = actual.data[i] ?? Number.NaN;
    if (Object.is(other, value) || other === value) return 0;
    const difference = Math.abs(other - value) / scale;
    return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  });
  return Math.max(0, ...differences);
}
