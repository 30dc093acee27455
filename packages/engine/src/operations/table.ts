import { EngineError } from '../errors.ts';
import { arithmetic } from './arithmetic.ts';
import { comparisons } from './comparison.ts';
import { convolutions } from './convolution.ts';
import { creation } from './creation.ts';
import { einsums } from './einsum.ts';
import { elementary } from './elementary.ts';
import { functions } from './functions.ts';
import { fusions } from './fused.ts';
import { indexing } from './indexing.ts';
import type { Operation } from './operation.ts';
import { poolings } from './pooling.ts';
import { products } from './product.ts';
import { reductions } from './reduction.ts';
import { resizing } from './resizing.ts';
import { shapes } from './shape.ts';
import { sorting } from './sorting.ts';
import { spaces } from './space.ts';

/** Where a missing row belongs: part of the messages about what is missing. */
export const TABLE = 'packages/engine/src/operations';

/** The families of operations by their file. */
const families: Readonly<Record<string, Readonly<Record<string, Operation>>>> = {
  'arithmetic.ts': arithmetic,
  'comparison.ts': comparisons,
  'convolution.ts': convolutions,
  'creation.ts': creation,
  'einsum.ts': einsums,
  'elementary.ts': elementary,
  'functions.ts': functions,
  'fused.ts': fusions,
  'indexing.ts': indexing,
  'pooling.ts': poolings,
  'product.ts': products,
  'reduction.ts': reductions,
  'resizing.ts': resizing,
  'shape.ts': shapes,
  'sorting.ts': sorting,
  'space.ts': spaces,
};

/** Every operation of the engine by its TensorFlow.js kernel name. */
export const operations: ReadonlyMap<string, Operation> = merge();

function merge(): Map<string, Operation> {
  const all = new Map<string, Operation>();
  for (const [kernel, operation] of Object.values(families).flatMap((family) => Object.entries(family))) {
    if (all.has(kernel)) throw new EngineError('INVALID_GRAPH', `two families of operations have a row for ${kernel}`);
    all.set(kernel, operation);
  }
  return all;
}

/** The file in which the row of a kernel stands. */
export function fileOf(kernel: string): string {
  const file = Object.entries(families).find(([, family]) => Object.hasOwn(family, kernel))?.[0];
  return file ? `${TABLE}/${file}` : TABLE;
}
