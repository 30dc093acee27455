import { float32, type NdArray, uniform } from '@jsigr/engine';

type Tensors = Readonly<Record<string, NdArray>>;

export interface Deviation {
  readonly name: string;
  /** Largest difference, divided by the largest number expected. */
  readonly error: number;
}

/** How far each tensor is from what is expected; a tensor that is missing, or of another size, is infinitely far. */
export function deviations(found: Tensors, expected: Tensors): Deviation[] {
  const names = new Set([...Object.keys(found), ...Object.keys(expected)]);
  return [...names].map((name) => ({ name, error: relativeError(found[name]?.data, expected[name]?.data) }));
}

function relativeError(found: ArrayLike<number> = [], expected: ArrayLike<number> = []): number {
  if (found.length !== expected.length || found.length === 0) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const apart = Math.abs((found[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    if (Number.isNaN(apart)) return Number.POSITIVE_INFINITY;
    difference = Math.max(difference, apart);
    largest = Math.max(largest, Math.abs(expected[i] ?? 0));
  }
  return difference === 0 ? 0 : difference / largest;
}

/** The largest of them. */
export function worst(all: readonly Deviation[]): Deviation {
  return all.reduce((a, b) => (b.error > a.error ? b : a), { name: '', error: 0 });
}

const SAMPLES = 14;

/**
 * A row of 16 numbers for each tensor, in the order of names: its Euclidean norm, its product with a random direction, and 14 of its numbers. Together
 * they see any difference that matters, in a thousandth of the bytes.
 */
export function fingerprint(tensors: Tensors): NdArray {
  const names = Object.keys(tensors).sort();
  const rows = names.flatMap((name) => rowOf(name, tensors[name]?.data ?? []));
  return float32(Float32Array.from(rows), [names.length, SAMPLES + 2]);
}

function rowOf(name: string, data: ArrayLike<number>): number[] {
  const direction = uniform({ seed: 1, stream: `fingerprint/${name}` }, data.length);
  const places = uniform({ seed: 2, stream: `fingerprint/${name}` }, SAMPLES);
  let squares = 0;
  let product = 0;
  for (let i = 0; i < data.length; i++) {
    const value = data[i] ?? Number.NaN;
    squares += value * value;
    product += value * (2 * (direction[i] ?? 0) - 1);
  }
  return [Math.sqrt(squares), product, ...Array.from(places, (u) => data[Math.floor(u * data.length)] ?? Number.NaN)];
}

/** For each tensor of a fingerprint the largest difference, divided by the tensor's norm. */
export function fingerprintError(found: NdArray, expected: NdArray): number {
  const width = SAMPLES + 2;
  if (found.data.length !== expected.data.length) return Number.POSITIVE_INFINITY;
  let error = 0;
  for (let i = 0; i < expected.data.length; i++) {
    const norm = expected.data[i - (i % width)] ?? 0;
    const apart = Math.abs((found.data[i] ?? Number.NaN) - (expected.data[i] ?? 0));
    error = Math.max(error, Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart / norm);
  }
  return error;
}
