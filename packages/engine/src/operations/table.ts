import { EngineError } from '../errors.ts';
import { arithmetic } from './arithmetic.ts';
import { comparisons } from './comparison.ts';
import { convolutions } from './convolution.ts';
import { creation } from './creation.ts';
import { functions } from './functions.ts';
import { indexing } from './indexing.ts';
import type { Operation } from './operation.ts';
import { poolings } from './pooling.ts';
import { products } from './product.ts';
import { reductions } from './reduction.ts';
import { resizing } from './resizing.ts';
import { shapes } from './shape.ts';

const families: readonly Readonly<Record<string, Operation>>[] = [
  arithmetic,
  comparisons,
  convolutions,
  creation,
  functions,
  indexing,
  poolings,
  products,
  reductions,
  resizing,
  shapes,
];

/** Every operation of the engine by its TensorFlow.js kernel name. */
export const operations: ReadonlyMap<string, Operation> = merge();

function merge(): Map<string, Operation> {
  const all = new Map<string, Operation>();
  for (const [kernel, operation] of families.flatMap((family) => Object.entries(family))) {
    if (all.has(kernel)) throw new EngineError('INVALID_GRAPH', `two families of operations have a row for ${kernel}`);
    all.set(kernel, operation);
  }
  return all;
}

/** Where a missing row belongs: part of the messages about what is missing. */
export const TABLE = 'packages/engine/src/operations';
