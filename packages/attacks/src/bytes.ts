import type { Norm } from './norms.ts';

/**
 * An adversarial image as 8-bit pixels that still lie in the ball, as they would be stored and sent: whole levels, within `epsilon` of the original.
 * @param original bytes of the image that was attacked.
 * @param adversarial as many numbers in [0,1].
 */
export function toBytes(original: Uint8Array, adversarial: Float32Array, norm: Norm, epsilon: number): Uint8Array {
  const levels = Float64Array.from(original, (level, i) => 255 * (adversarial[i] ?? 0) - level);
  const delta = norm.quantise(levels, 255 * epsilon);
  return original.map((level, i) => Math.min(Math.max(level + (delta[i] ?? 0), 0), 255));
}
