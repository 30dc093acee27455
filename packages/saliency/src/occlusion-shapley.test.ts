import { createEngine, type Engine, float32, int32, type NdArray } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { infidelity } from './infidelity.ts';
import { integrate } from './integrated-gradients.ts';
import type { SaliencyContext } from './method.ts';
import { occlusion } from './occlusion.ts';
import { ordersOf, shapley } from './shapley.ts';
import { formula, linearClassifier } from './testing/models.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

// h = ReLU(sum of x + [-10, 1, 1, 1]); the output is the sum of h less 1 (Captum's fixture, recomputed).
const published = formula(3, (columns) => {
  const total = columns.reduce((a, b) => tf.add(a, b));
  const units = [-10, 1, 1, 1].map((bias) => tf.relu(tf.add(total, bias)));
  return tf.sub(
    units.reduce((a, b) => tf.add(a, b)),
    1,
  );
});
const row = (...values: number[]) => float32(values, [1, 1, values.length, 1]);
const contextOf = (change: Partial<SaliencyContext> = {}): SaliencyContext => {
  return { engine, classifier: published, images: row(20, 50, 30), targets: int32([0], [1]), ...change };
};
const expectClose = ({ data }: NdArray, expected: readonly number[], digits = 3) => {
  expect(data.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(data[i]).toBeCloseTo(value, digits);
};

describe('occlusion', () => {
  test('of the published fixture is (80, 200, 120)', async () => {
    expectClose((await occlusion.explain(contextOf(), { size: 1, stride: 1 })).map, [80, 200, 120]);
  });

  test('gives a pixel the mean over the squares that cover it, to the edges', async () => {
    const classifier = linearClassifier([[1, 2, 4, 8, 16]], [0], [1, 5, 1]);
    const context = contextOf({ classifier, images: row(1, 1, 1, 1, 1) });
    // Squares of 2 pixels at 0, 1, 2 and 3.
    expectClose((await occlusion.explain(context, { size: 2, stride: 1 })).map, [3, 4.5, 9, 18, 24]);
    // At 0, 2 and 4: the last one sticks out.
    expectClose((await occlusion.explain(context, { size: 2, stride: 2 })).map, [3, 3, 12, 12, 16]);
    expectClose((await occlusion.explain(context, { size: 2, stride: 2, baseline: 1 })).map, [0, 0, 0, 0, 0]);
  });

  test('follows what is explained: a loss falls where a probability rises', async () => {
    const classifier = linearClassifier(
      [
        [1, -2],
        [0, 0],
      ],
      [0, 0],
      [1, 2, 1],
    );
    const at = (output: 'probability' | 'loss') =>
      occlusion.explain(contextOf({ classifier, images: row(1, 1), output }), { size: 1, stride: 1 });
    const p = (logit: number) => 1 / (1 + Math.exp(-logit));
    expectClose((await at('probability')).map, [p(-1) - p(-2), p(-1) - p(1)], 5);
    expectClose((await at('loss')).map, [Math.log(p(-2) / p(-1)), Math.log(p(1) / p(-1))], 5);
  });

  test('leaves no pixel out', () =>
    expect(occlusion.explain(contextOf(), { size: 2, stride: 3 })).rejects.toMatchObject({
      reason: 'INVALID_SETTING',
      field: 'settings.stride',
    }));
});

describe('Shapley values', () => {
  test('of the published fixture are (76.667, 196.667, 116.667), exact where all orders are tried', async () => {
    const { map, check } = await shapley.explain(contextOf(), { size: 1, orders: 6 });
    expectClose(map, [76 + 2 / 3, 196 + 2 / 3, 116 + 2 / 3]);
    expect(check?.completenessGap[0]).toBeCloseTo(0, 3);
  });

  test('from a few random orders sum to the change of the output all the same, and are the same alone and in a batch', async () => {
    const settings = { size: 1, orders: 2 };
    const images = float32([20, 50, 30, 7, 1, 3], [2, 1, 3, 1]);
    const batch = { images, targets: int32([0, 0], [2]), sampleIndices: [4, 9], seed: 3 };
    const { map, check } = await shapley.explain(contextOf(batch), settings);
    for (const gap of check?.completenessGap ?? []) expect(gap).toBeCloseTo(0, 3);
    const alone = await shapley.explain(contextOf({ images: row(7, 1, 3), sampleIndices: [9], seed: 3 }), settings);
    expectClose(alone.map, [...map.data.subarray(3)]);
  });

  test('draw one order after the other, however many are asked for', () => {
    const address = { seed: 1, sample: 0 };
    // All of these together would be a thousand million numbers.
    const many = ordersOf(10_000, 100_000, address);
    const [first, second] = [many.next().value ?? [], many.next().value ?? []];
    expect(first.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
    expect(second).not.toEqual(first);
    expect([...ordersOf(10_000, 1, address)]).toEqual([first]);
    expect([...ordersOf(3, 6, address)].map(String).sort()).toEqual([
      '0,1,2',
      '0,2,1',
      '1,0,2',
      '1,2,0',
      '2,0,1',
      '2,1,0',
    ]);
  });

  test('of squares are spread over their pixels', async () => {
    const classifier = linearClassifier([[1, 2, 4]], [0], [1, 3, 1]);
    const { map } = await shapley.explain(contextOf({ classifier, images: row(1, 1, 1) }), { size: 2 });
    expectClose(map, [1.5, 1.5, 4]);
  });
});

describe('infidelity', () => {
  // x^4 from 0 to 1 by one midpoint: the map says 4 x 0.5^3 = 0.5, the output changes by 1.
  const classifier = formula(1, ([x]) => tf.pow(x as tf.Tensor, 4));
  const context = () => contextOf({ classifier, images: row(1) });

  test('of a map with a gap is the square of the gap, where all pixels are moved', async () => {
    const { map, check } = await integrate(context(), row(0), 1);
    const gap = check?.completenessGap[0] ?? 0;
    expect(gap).toBeCloseTo(-0.5, 5);
    const [found] = await infidelity(context(), map, { share: 1, draws: 1 });
    expect(found).toBeCloseTo(gap ** 2, 5);
  });

  test('is nothing for a linear model and its own map, whatever is moved, and something for another map', async () => {
    const linear = contextOf({ classifier: linearClassifier([[1, -2, 3]], [5], [1, 3, 1]), images: row(1, 0.5, 0.25) });
    const change = [1 - 0.2, -2 * (0.5 - 0.2), 3 * (0.25 - 0.2)];
    expect((await infidelity(linear, row(...change), { baseline: 0.2 }))[0]).toBeCloseTo(0, 8);
    // A map that is wrong by 1 at one pixel errs where that is moved: in half of the draws.
    const wrong = row(...change.with(1, (change[1] ?? 0) + 1));
    const [found] = await infidelity(linear, wrong, { baseline: 0.2, draws: 1000 });
    expect(found).toBeGreaterThan(0.45);
    expect(found).toBeLessThan(0.55);
  });

  test.each([
    { options: { draws: 0 }, field: 'draws' },
    { options: { share: 0 }, field: 'share' },
    { options: { baseline: 2 }, field: 'baseline' },
  ])('is refused with $options', ({ options, field }) =>
    expect(infidelity(context(), row(1), options)).rejects.toMatchObject({ reason: 'INVALID_SETTING', field }),
  );

  test('is refused of a map of another size', () =>
    expect(infidelity(context(), row(1, 2))).rejects.toMatchObject({ reason: 'INVALID_INPUT', field: 'map' }));
});
