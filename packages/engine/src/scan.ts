import { EngineError } from './errors.ts';
import { describe, type Graph, sameShape } from './graph.ts';
import { type NdArray, sizeOf, type Tree } from './ndarray.ts';
import type { Program, ScanRole } from './program.ts';
import { flatten, isArray } from './tree.ts';

/** What a function is given that is run step by step; names that are in two of the three are an error. */
export interface ScanInputs {
  /** Inputs that the function also gives back, under the same names: each step gets what the one before made. */
  readonly carried: Tree<NdArray>;
  /** The other inputs of every step, one or more. */
  readonly each: readonly Tree<NdArray>[];
  /** Inputs that are the same for all steps. */
  readonly fixed?: Tree<NdArray>;
}

export interface ScanOutputs {
  /** As the last step made it, in the form of the inputs' `carried`. */
  readonly carried: Tree<NdArray>;
  /** The other outputs of every step. */
  readonly each: readonly Tree<NdArray>[];
}

export interface ScanPlan {
  /** Of every input. */
  readonly roles: readonly ScanRole[];
  /** For every output the carried input whose place it takes, or -1. */
  readonly feeds: readonly number[];
}

/** @throws EngineError INVALID_INPUT if an input that is to be carried is no output of its dtype and shape */
export function planScan(
  { name: title, inputs, outputs }: Graph,
  carried: ReadonlySet<string>,
  fixed: ReadonlySet<string>,
): ScanPlan {
  const roles = inputs.map(({ name, node }): ScanRole => {
    if (fixed.has(name)) return 'fixed';
    if (!carried.has(name)) return 'each';
    const made = outputs.find((output) => output.name === name)?.node;
    if (made?.dtype === node.dtype && sameShape(made.shape, node.shape)) return 'carried';
    throw new EngineError(
      'INVALID_INPUT',
      `'${title}' cannot carry '${name}', ${describe(node)}: as an output it is ${made ? describe(made) : 'not there'}`,
    );
  });
  const feeds = outputs.map(({ name }) => (carried.has(name) ? inputs.findIndex((input) => input.name === name) : -1));
  return { roles, feeds };
}

export function namesOf(tree: Tree<NdArray>): Set<string> {
  return new Set(flatten(tree, isArray, 'scan: input').map(({ name }) => name));
}

/**
 * Runs all steps: in one go where the engine can and the steps have inputs of their own, else one by one, with the same numbers.
 * @param steps the inputs of each step in the order of the graph's, those that are carried as they are before the first
 * @returns for every output its arrays: one of the last step if it is carried, else one of each step
 */
export async function scanProgram(
  program: Program,
  steps: readonly (readonly NdArray[])[],
  { roles, feeds }: ScanPlan,
): Promise<NdArray[][]> {
  const [first = []] = steps;
  if (program.scan && roles.includes('each')) {
    const inputs = first.map((array, i) =>
      roles[i] === 'each' ? stacked(steps.flatMap((step) => step[i] ?? [])) : array,
    );
    const outputs = await program.scan(inputs, roles);
    return outputs.map((output, o) => ((feeds[o] ?? -1) < 0 ? unstacked(output) : [output]));
  }
  const collected: NdArray[][] = feeds.map(() => []);
  let state = first;
  for (const step of steps) {
    const inputs = step.map((array, i) => (roles[i] === 'carried' ? (state[i] ?? array) : array));
    const outputs = await program.run(inputs);
    const next = [...inputs];
    for (const [o, output] of outputs.entries()) {
      const fed = feeds[o] ?? -1;
      if (fed < 0) collected[o]?.push(output);
      else {
        next[fed] = output;
        collected[o] = [output];
      }
    }
    state = next;
  }
  return collected;
}

/** The tree without the leaves that are not wanted, and without records that they leave empty; `undefined` if nothing is left. */
export function pruned(tree: Tree<string>, isWanted: (name: string) => boolean): Tree<string> | undefined {
  if (typeof tree === 'string') return isWanted(tree) ? tree : undefined;
  const kept = Object.entries(tree).flatMap(([key, child]) => {
    const left = pruned(child, isWanted);
    return left === undefined ? [] : [[key, left] as const];
  });
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

/** Trees side by side. @throws EngineError INVALID_INPUT if two have the same name at their top */
export function merged(title: string, trees: readonly Tree<NdArray>[]): Tree<NdArray> {
  const all: Record<string, Tree<NdArray>> = {};
  for (const [name, child] of trees.flatMap((tree) => Object.entries(tree as Record<string, Tree<NdArray>>))) {
    if (name in all) throw new EngineError('INVALID_INPUT', `'${title}' is given '${name}' in two roles of a scan`);
    all[name] = child;
  }
  return all;
}

function stacked(arrays: readonly NdArray[]): NdArray {
  const [{ dtype, shape, data }] = arrays as [NdArray];
  const width = sizeOf(shape);
  const all = new (data.constructor as Float32ArrayConstructor)(arrays.length * width) as NdArray['data'];
  for (const [i, array] of arrays.entries()) all.set(array.data, i * width);
  return { dtype, shape: [arrays.length, ...shape], data: all };
}

function unstacked({ dtype, shape: [steps = 0, ...shape], data }: NdArray): NdArray[] {
  const width = sizeOf(shape);
  return Array.from({ length: steps }, (_, i) => ({ dtype, shape, data: data.slice(i * width, (i + 1) * width) }));
}
