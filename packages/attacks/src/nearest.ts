import { float32, type NdArray } from '@jsigr/engine';
import type { View } from './rows.ts';

/** The nearest adversarial images of an attack that looks for the smallest perturbation, `[size, ...]`, and how far they lie, `[size]`. */
export type Nearest = {
  readonly best: NdArray;
  readonly bestDistance: NdArray;
};

/** Farther than any image. */
export const NOWHERE = 1e10;

export function nothingYet({ images, epsilons }: View): Nearest {
  return {
    best: images,
    bestDistance: float32(
      epsilons.map(() => NOWHERE),
      [epsilons.length],
    ),
  };
}

/** Candidates that are adversarial (`wrong` is 1) and nearer than what was known. */
export function nearer(
  { best, bestDistance }: Nearest,
  candidates: NdArray,
  wrong: ArrayLike<number>,
  distances: ArrayLike<number>,
): Nearest {
  const rows = bestDistance.data.length;
  const size = best.data.length / rows;
  const images = Float32Array.from(best.data);
  const found = Float32Array.from(bestDistance.data);
  for (let row = 0; row < rows; row++) {
    const distance = distances[row] ?? NOWHERE;
    if (!wrong[row] || distance >= (found[row] ?? 0)) continue;
    found[row] = distance;
    images.set(candidates.data.subarray(row * size, (row + 1) * size), row * size);
  }
  return { best: float32(images, best.shape), bestDistance: float32(found, [rows]) };
}

/** 1 where the nearest adversarial image lies in the ball: there is nothing more to find out. */
export function inBall({ bestDistance }: Nearest, { epsilons }: View): number[] {
  return epsilons.map((epsilon, row) => Number((bestDistance.data[row] ?? NOWHERE) <= epsilon));
}
