import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createEngine, type Engine } from './engine.ts';
import { lastFeatureMaps, type MapsOf } from './feature-maps.ts';
import { float32, type NdArray } from './ndarray.ts';
import { runCompiled } from './run-compiled.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

// 2 x 2 pixels: a convolution that doubles them, another one that takes them times -3; the value is 5 times the sum.
const images = float32([1, -2, 3, 4], [1, 2, 2, 1]);
const times = (x: tf.Tensor, weight: number) =>
  tf.conv2d(x as tf.Tensor4D, tf.fill([1, 1, 1, 1], weight) as tf.Tensor4D, 1, 'same') as tf.Tensor;
const total = (x: tf.Tensor) => tf.mul(5, tf.sum(x, [1, 2, 3]));

async function mapsOf(f: (x: tf.Tensor) => tf.Tensor, which?: MapsOf): Promise<[number[], number[]]> {
  const traced = ({ x }: { readonly x: tf.Tensor }) => {
    const found = lastFeatureMaps(f, x, which);
    if (!found) throw new Error('there is none');
    return { maps: found.maps, gradient: found.gradient };
  };
  const { maps, gradient } = await runCompiled(engine, 'maps', traced, { x: images });
  const numbers = ({ data }: NdArray) => [...data];
  return [numbers(maps), numbers(gradient)];
}

describe('the maps of the last convolution', () => {
  const bent = (x: tf.Tensor) => total(tf.relu(tf.add(times(tf.relu(times(x, 2)), -3), 10)));

  test('are those after its rectifier, or before it with the bias', async () => {
    expect(await mapsOf(bent)).toEqual([
      [4, 10, 0, 0],
      [5, 5, 5, 5],
    ]);
    expect(await mapsOf(bent, 'linear')).toEqual([
      [4, 10, -8, -14],
      [5, 5, 0, 0],
    ]);
  });

  test('of a block are those with its shortcut', async () => {
    const block = (x: tf.Tensor) => total(tf.square(tf.relu(tf.add(times(tf.relu(x), 2), x))));
    // The square is one more thing of their shape, and what is summed.
    expect(await mapsOf(block, 'linear')).toEqual([
      [3, -2, 9, 12],
      [30, 0, 90, 120],
    ]);
  });

  test('are still in their places where a network goes on with channels first', async () => {
    const onnx = (x: tf.Tensor) => total(tf.relu(tf.transpose(times(x, 2), [0, 3, 1, 2])));
    expect(await mapsOf(onnx)).toEqual([
      [2, -4, 6, 8],
      [5, 0, 5, 5],
    ]);
  });

  test('are none of a network without one, nor of one that does not look at x', async () => {
    await expect(mapsOf((x) => total(tf.relu(x)))).rejects.toThrow('there is none');
    const blind = (x: tf.Tensor) => tf.add(tf.mul(0, tf.sum(x)), total(times(tf.fill([1, 2, 2, 1], 1), 2)));
    await expect(mapsOf(blind)).rejects.toThrow('there is none');
  });
});
