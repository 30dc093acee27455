import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { valueAndGrad } from './autodiff.ts';
import { createEngine } from './engine.ts';
import { graphFlops } from './flops.ts';
import { groupedConv2d } from './layers/grouped-convolution.ts';
import { spec } from './ndarray.ts';

async function flopsOf(fn: (inputs: { x: tf.Tensor; w: tf.Tensor }) => tf.Tensor, x: number[], w: number[]) {
  const engine = await createEngine({ engine: 'reference' });
  const { graph } = await engine.compile((inputs: { x: tf.Tensor; w: tf.Tensor }) => ({ y: fn(inputs) }), {
    x: spec(...x),
    w: spec(...w),
  });
  return graphFlops(graph);
}

const conv = (x: tf.Tensor, w: tf.Tensor) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 2, 'same');

describe('floating-point operations', () => {
  it('of a convolution are two for each tap of each result', async () => {
    const flops = await flopsOf(({ x, w }) => conv(x, w), [2, 8, 6, 3], [3, 3, 3, 5]);
    expect(flops).toBe(2 * (2 * 4 * 3 * 5) * (3 * 3 * 3));
  });

  it('of its gradients are the same again, each', async () => {
    const gradients = ({ x, w }: { x: tf.Tensor; w: tf.Tensor }) => {
      const { gradient } = valueAndGrad((p: { x: tf.Tensor; w: tf.Tensor }) => tf.sum(tf.square(conv(p.x, p.w))), {
        x,
        w,
      });
      return tf.add(tf.sum(gradient.x), tf.sum(gradient.w));
    };
    const flops = await flopsOf(gradients, [2, 8, 6, 3], [3, 3, 3, 5]);
    expect(flops).toBe(3 * 2 * (2 * 4 * 3 * 5) * (3 * 3 * 3));
  });

  it('of a convolution in groups count only taps within the group', async () => {
    const grouped = await flopsOf(({ x, w }) => groupedConv2d(x, w, { groups: 2 }), [2, 4, 3, 6], [3, 3, 3, 4]);
    expect(grouped).toBe(2 * (2 * 4 * 3 * 4) * (3 * 3 * 3));
  });

  it('of a matrix product are two for each of its terms, transposed or not', async () => {
    expect(await flopsOf(({ x, w }) => tf.matMul(x, w), [4, 5], [5, 6])).toBe(2 * 4 * 5 * 6);
    expect(await flopsOf(({ x, w }) => tf.matMul(x, w, true), [5, 4], [5, 6])).toBe(2 * 4 * 5 * 6);
  });
});
