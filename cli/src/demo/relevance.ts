import type { Mean } from '../report/data.ts';

/** Share of the absolute attribution that lies on the mask, in [0,1]; undefined for a map of zeros. */
export function relevanceMass(attribution: Float32Array, mask: Uint8Array): number | undefined {
  let inside = 0;
  let all = 0;
  attribution.forEach((value, at) => {
    const mass = Math.abs(value);
    all += mass;
    if (mask[at] !== 0) inside += mass;
  });
  return all > 0 ? inside / all : undefined;
}

/** Mean with its 95 % interval by the normal approximation, which holds for some dozens of values; undefined without any. */
export function meanOf(values: readonly number[]): Mean | undefined {
  const count = values.length;
  if (count === 0) return undefined;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const half = count > 1 ? 1.959964 * Math.sqrt(squares / (count - 1) / count) : 0;
  return { mean, lower: mean - half, upper: mean + half, count };
}
