import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from './errors.ts';
import { isLazy } from './lazy-array.ts';
import type { NdArray, TensorSpec, Tree } from './ndarray.ts';

/** The tensors that a traced function gets for a tree of specs. */
export type TracedTree<I> = I extends TensorSpec ? tf.Tensor : { readonly [K in keyof I]: TracedTree<I[K]> };

/** The arrays that belong to a tree of specs or of tensors. */
export type ArraysOf<T> = T extends TensorSpec | tf.Tensor ? NdArray : { readonly [K in keyof T]: ArraysOf<T[K]> };

export interface Leaf<T> {
  /** The names on the way to the leaf, joined by '.'; '' for a tree that is one leaf. */
  readonly name: string;
  readonly value: T;
}

/** The leaves of a tree, in the order of its names. @throws EngineError if two leaves get the same name. */
export function flatten<T>(tree: unknown, isLeaf: (value: unknown) => value is T, what: string): Leaf<T>[] {
  const leaves = visit(tree, isLeaf, what, '');
  const names = new Set<string>();
  for (const { name } of leaves) {
    if (names.has(name)) throw new EngineError('INVALID_INPUT', `${what} has two leaves named '${name}'`);
    names.add(name);
  }
  return leaves;
}

function visit<T>(tree: unknown, isLeaf: (value: unknown) => value is T, what: string, name: string): Leaf<T>[] {
  if (isLeaf(tree)) return [{ name, value: tree }];
  if (!isRecord(tree))
    throw new EngineError(
      'INVALID_INPUT',
      `${what}${name && ` '${name}'`} is ${describeValue(tree)}, neither a leaf nor a record`,
    );
  return Object.entries(tree).flatMap(([key, child]) => visit(child, isLeaf, what, name ? `${name}.${key}` : key));
}

/** The same tree with other leaves. */
export function mapTree<T, U>(
  tree: Tree<T>,
  isLeaf: (value: unknown) => value is T,
  map: (leaf: T, name: string) => U,
  name = '',
): Tree<U> {
  if (isLeaf(tree)) return map(tree, name);
  const children = Object.entries(tree as { readonly [key: string]: Tree<T> });
  return Object.fromEntries(
    children.map(([key, child]) => [key, mapTree(child, isLeaf, map, name ? `${name}.${key}` : key)]),
  );
}

export function isSpec(value: unknown): value is TensorSpec {
  return isRecord(value) && Array.isArray(value.shape) && typeof value.dtype === 'string';
}

export function isArray(value: unknown): value is NdArray {
  return isSpec(value) && 'data' in value && (isLazy(value as NdArray) || ArrayBuffer.isView(value.data));
}

export function isTensor(value: unknown): value is tf.Tensor {
  return value instanceof tf.Tensor;
}

/** Whether a leaf is a name: the form of outputs whose arrays are not there yet. */
export function isName(value: unknown): value is string {
  return typeof value === 'string';
}

export function describeValue(value: unknown): string {
  if (isRecord(value))
    return `a ${value.constructor?.name ?? 'record'} with ${Object.keys(value).slice(0, 5).join(', ')}`;
  return Array.isArray(value) ? 'an array' : `${value === null ? 'null' : typeof value}`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}
