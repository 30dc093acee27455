import type { NdArray, Tree } from './ndarray.ts';
import { isArray, mapTree } from './tree.ts';

const constant = new WeakSet<NdArray>();

/** Says that the numbers of these arrays will never change: then a GPU is given them once, at the first run, and not at every run. Gives the tree itself. */
export function constantArrays<T extends Tree<NdArray>>(tree: T): T {
  mapTree(tree as Tree<NdArray>, isArray, (array) => constant.add(array));
  return tree;
}

export function isConstant(array: NdArray): boolean {
  return constant.has(array);
}
