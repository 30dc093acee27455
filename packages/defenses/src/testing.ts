import type { Dataset, Split } from '@jsigr/datasets';
import { float32, type NdArray, type Tree, uniform } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';

/** 8x8 grey images of three classes: a bright band of two rows, at the top, in the middle or at the bottom, over noise. */
export function bands(train: number, test = 12, seed = 1): Dataset {
  return {
    name: 'bands',
    input: [8, 8, 1],
    classes: ['top', 'middle', 'bottom'],
    train: split(train, { seed, stream: 'bands.train' }),
    test: split(test, { seed, stream: 'bands.test' }),
  };
}

function split(count: number, address: { seed: number; stream: string }): Split {
  const images = Uint8Array.from(uniform(address, count * 64), (u) => u * 60);
  const labels = Uint8Array.from({ length: count }, (_, index) => index % 3);
  for (let index = 0; index < count; index++)
    images.fill(220, index * 64 + (labels[index] ?? 0) * 24, index * 64 + (labels[index] ?? 0) * 24 + 16);
  return { count, images, labels };
}

/** Uniform numbers on [-scale, scale). */
export function randomArray(shape: readonly number[], stream: string, scale = 1): NdArray {
  const size = shape.reduce((product, side) => product * side, 1);
  return float32(
    uniform({ seed: 9, stream }, size).map((u) => (2 * u - 1) * scale),
    shape,
  );
}

/** A function over named tensors as `compile` takes it. */
export function traced<Inputs>(
  run: (inputs: Inputs) => Readonly<Record<string, Tensor>>,
): (tree: Tree<Tensor>) => Tree<Tensor> {
  return (tree) => run(tree as unknown as Inputs);
}
