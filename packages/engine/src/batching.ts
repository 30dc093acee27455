/** Compiled for small batches: what one image costs falls until about 16. */
const SMALL = [1, 4, 16];

/** The batch size to compile for so many rows: the next of 1, 4, 16 and `largest`. More rows than that take several runs. */
export function bucketOf(rows: number, largest = 64): number {
  return Math.min(largest, SMALL.find((size) => rows <= size) ?? largest);
}
