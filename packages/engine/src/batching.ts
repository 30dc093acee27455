import type * as tf from '@tensorflow/tfjs-core';
import type { Engine } from './engine.ts';
import { EngineError } from './errors.ts';
import { type NdArray, sizeOf, specOf, type Tree } from './ndarray.ts';
import { flatten, isArray, mapTree } from './tree.ts';

/** Compiled for small batches: what one image costs falls until about 16. */
const SMALL = [1, 4, 16];

/** The batch size to compile for so many rows: the next of 1, 4, 16 and `largest`. More rows than that take several runs. */
export function bucketOf(rows: number, largest = 64): number {
  return Math.min(largest, SMALL.find((size) => rows <= size) ?? largest);
}

export interface RowInputs {
  /** The same for all rows: parameters, settings. */
  readonly fixed: Tree<NdArray>;
  /** Arrays `[rows, ...]`, all with the same number of rows, at least 1. */
  readonly rows: Tree<NdArray>;
}

export interface RowOptions {
  /** Most rows of a run (default 64). */
  readonly batchSize?: number;
  readonly name?: string;
  /** Checked between runs. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a function on any number of rows, with at most four compiled shapes: the rows are cut into batches, and the last one is filled up with its first
 * row. Each row of each output `[rows, ...]` must depend on its own row of the inputs only.
 * @throws EngineError INVALID_INPUT if the arrays have different numbers of rows; SHAPE_MISMATCH if an output has no row for each row
 */
export async function runRows(
  engine: Engine,
  fn: (inputs: never) => Tree<tf.Tensor>,
  { fixed, rows }: RowInputs,
  { batchSize = 64, name = fn.name || 'rows', signal }: RowOptions = {},
): Promise<Tree<NdArray>> {
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new EngineError('INVALID_INPUT', `batchSize is ${batchSize}; it must be an integer from 1 on`);
  const count = countOf(name, rows);
  const size = bucketOf(count, batchSize);
  const parts: Tree<NdArray>[] = [];
  for (let from = 0; from < count; from += size) {
    signal?.throwIfAborted();
    const inputs = { fixed, rows: mapTree(rows, isArray, (array) => batchOf(array, from, size)) };
    const specs = mapTree(inputs as Tree<NdArray>, isArray, specOf);
    const compiled = await engine.compile(fn as unknown as Parameters<Engine['compile']>[0], specs, { name });
    parts.push(await compiled.run(inputs as never));
  }
  const leaves = parts.map((part) => new Map(flatten(part, isArray, name).map((leaf) => [leaf.name, leaf.value])));
  return mapTree(parts[0] as Tree<NdArray>, isArray, (first, path) => {
    if (first.shape[0] !== size)
      throw new EngineError(
        'SHAPE_MISMATCH',
        `'${name}' gave ${path || 'its output'} as [${first.shape}] for ${size} rows: an output needs a row for each`,
      );
    return joined(
      leaves.flatMap((part) => part.get(path) ?? []),
      count,
    );
  });
}

function countOf(name: string, rows: Tree<NdArray>): number {
  const counts = flatten(rows, isArray, `'${name}': rows`).map(({ name: path, value }) => ({
    path,
    count: value.shape[0] ?? 0,
  }));
  const [first] = counts;
  const other = counts.find(({ count }) => count !== first?.count || count < 1);
  if (!first || other)
    throw new EngineError(
      'INVALID_INPUT',
      first && other
        ? `'${name}': '${other.path}' has ${other.count} rows, '${first.path}' has ${first.count}; they must agree, and be at least 1`
        : `'${name}' has no rows`,
    );
  return first.count;
}

/** Rows `from` to `from + size`; what is missing at the end is filled with the first of them. */
function batchOf({ dtype, shape, data }: NdArray, from: number, size: number): NdArray {
  const width = sizeOf(shape.slice(1));
  const present = data.subarray(from * width, (from + size) * width);
  const full = [size, ...shape.slice(1)];
  if (present.length === size * width) return { dtype, shape: full, data: present };
  const filled = new (data.constructor as Float32ArrayConstructor)(size * width) as NdArray['data'];
  filled.set(present);
  for (let at = present.length; at < filled.length; at += width) filled.set(present.subarray(0, width), at);
  return { dtype, shape: full, data: filled };
}

function joined(parts: readonly NdArray[], count: number): NdArray {
  const [{ dtype, shape, data }] = parts as [NdArray];
  const row = shape.slice(1);
  const all = new (data.constructor as Float32ArrayConstructor)(count * sizeOf(row)) as NdArray['data'];
  let at = 0;
  for (const part of parts) {
    const rest = part.data.subarray(0, all.length - at);
    all.set(rest, at);
    at += rest.length;
  }
  return { dtype, shape: [count, ...row], data: all };
}
