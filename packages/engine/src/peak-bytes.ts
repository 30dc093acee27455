import { sizeOf } from './ndarray.ts';

interface Sized<N> {
  readonly inputs: readonly N[];
  readonly shape: readonly number[];
}

/** The most bytes that are alive at once if each value, of four bytes a number, is freed after its last use. */
export function peakBytes<N extends Sized<N>>(nodes: readonly N[], outputs: readonly N[]): number {
  const lastUse = new Map<N, N>();
  for (const node of nodes) for (const input of node.inputs) lastUse.set(input, node);
  for (const output of outputs) lastUse.delete(output);
  const bytes = ({ shape }: N) => 4 * sizeOf(shape);
  let alive = 0;
  let peak = 0;
  for (const node of nodes) {
    alive += bytes(node);
    peak = Math.max(peak, alive);
    for (const input of new Set(node.inputs)) if (lastUse.get(input) === node) alive -= bytes(input);
  }
  return peak;
}
