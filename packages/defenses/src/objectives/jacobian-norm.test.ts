import { createEngine, type Engine, type NdArray, specsOf, vjp } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomArray, traced } from '../testing.ts';
import { jacobianPenalty } from './jacobian-norm.ts';
import { projectionInputs } from './penalties.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

const [BATCH, PIXELS, CLASSES] = [6, 3, 4];
const images = randomArray([BATCH, 1, PIXELS, 1], 'images');
const first = [...randomArray([PIXELS, 5], 'first').data];
const second = [...randomArray([5, CLASSES], 'second').data];

/** A network of one hidden layer, with or without a normalisation of that layer by the statistics of the batch. */
const network = (normalised: boolean) => (x: Tensor) => {
  const hidden = tf.matMul(tf.reshape(x, [BATCH, PIXELS]) as tf.Tensor2D, tf.tensor2d(first, [PIXELS, 5]));
  const centred = tf.sub(hidden, tf.mean(hidden, 0));
  const scaled = tf.div(centred, tf.sqrt(tf.add(tf.mean(tf.square(centred), 0), 0.01)));
  return tf.matMul(tf.tanh(normalised ? scaled : hidden) as tf.Tensor2D, tf.tensor2d(second, [5, CLASSES]));
};

/** The penalty at each of so many steps. */
async function penalties(projections: number, normalised: boolean, steps: number): Promise<number[]> {
  const settings = { jacobianWeight: 1, projections, jacobianOutput: 'logits', jacobianSquared: true } as const;
  const forward = network(normalised);
  const inputsAt = (step: number) => ({
    images,
    inputs: projectionInputs(projections, {
      ...{ seed: 1, step, batchSize: BATCH, classes: CLASSES },
      ...{ input: [1, PIXELS, 1] as const, saliency: undefined },
    }),
  });
  const compiled = await engine.compile(
    traced<{ images: Tensor; inputs: Record<string, Tensor> }>(({ images: x, inputs }) => {
      const { value: logits, pullback } = vjp(forward, x);
      return { penalty: jacobianPenalty({ logits, pullback }, settings, inputs) };
    }),
    specsOf(inputsAt(1)),
  );
  const values: number[] = [];
  for (let step = 1; step <= steps; step++) {
    const { penalty } = (await compiled.run(inputsAt(step))) as { penalty: NdArray };
    values.push(penalty.data[0] ?? Number.NaN);
  }
  return values;
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const errorOf = (values: readonly number[]) =>
  Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)) / values.length);

describe('the exact Jacobian norm', () => {
  it('is the same number at every step where samples do not depend on each other', async () => {
    expect(new Set(await penalties(-1, false, 20)).size).toBe(1);
  });

  it('is on average what random projections estimate where the batch is normalised', async () => {
    const [exact, estimated] = [await penalties(-1, true, 600), await penalties(4, true, 600)];
    const error = Math.hypot(errorOf(exact), errorOf(estimated));
    // Without signs each step would have the sum of a sample's derivatives, of which normalisation leaves little.
    expect(error).toBeLessThan(0.03 * mean(estimated));
    expect(Math.abs(mean(exact) - mean(estimated))).toBeLessThan(3 * error);
  });
});
