import { type Engine, int32, type NdArray, type Tree } from '@jsigr/engine';
import { specsOf } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';

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

/** Each of the numbers `times` times in a row. */
export function repeatEach(numbers: NdArray, times: number): NdArray {
  const repeated = Int32Array.from(
    { length: numbers.data.length * times },
    (_, i) => numbers.data[Math.floor(i / times)] ?? 0,
  );
  return int32(repeated, [repeated.length]);
}

/** All numbers `times` times over. */
export function repeatAll(numbers: NdArray, times: number): NdArray {
  const count = numbers.data.length;
  const repeated = Int32Array.from({ length: count * times }, (_, i) => numbers.data[i % count] ?? 0);
  return int32(repeated, [repeated.length]);
}

/** The largest divisor of `count` that is at most `limit`, and at least 1: equal chunks need one compiled shape. */
export function chunkSize(count: number, limit: number): number {
  for (let size = Math.min(count, Math.floor(limit)); size > 1; size--) if (count % size === 0) return size;
  return 1;
}
