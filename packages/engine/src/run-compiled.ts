import type { Tensor } from '@tensorflow/tfjs-core';
import type { Engine } from './engine.ts';
import { type NdArray, specOf, type TensorSpec, type Tree } from './ndarray.ts';
import { isArray, mapTree } from './tree.ts';

/** The specs of a tree of arrays, as `compile` takes them. */
export function specsOf(tree: Tree<NdArray>): Tree<TensorSpec> {
  return mapTree(tree, isArray, specOf);
}

/** A traced function compiled for the shapes of these inputs, and run on them. The engine keeps what it compiled. */
export async function runCompiled<Output extends Record<string, Tensor>>(
  engine: Engine,
  name: string,
  traced: (inputs: never) => Output,
  inputs: Readonly<Record<string, Tree<NdArray>>>,
): Promise<{ readonly [Name in keyof Output]: NdArray }> {
  const compiled = await engine.compile(traced as unknown as Parameters<Engine['compile']>[0], specsOf(inputs), {
    name,
  });
  return (await compiled.run(inputs)) as { readonly [Name in keyof Output]: NdArray };
}
