import { createEngine, type Engine, float32, int32, type NdArray, uniform } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SaliencyError } from './errors.ts';
import { gradient } from './gradient.ts';
import { inputXGradient } from './input-x-gradient.ts';
import { integrate, integratedGradients } from './integrated-gradients.ts';
import type { SaliencyContext } from './method.ts';
import { perturbation } from './perturbation.ts';
import { methodNamed, saliencyMethods } from './registry.ts';
import { sarfa } from './sarfa.ts';
import { smooth, smoothgrad } from './smoothgrad.ts';
import { convolutional, formula, linearClassifier } from './testing/models.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

// 2 x 2 pixels, 2 channels, 2 classes. Class 1's channel sums are (1+2, 3-1, 0-2, 4+0.5).
const WEIGHTS = [
  [0, 0, 0, 0, 0, 0, 0, 0],
  [1, 2, 3, -1, 0, -2, 4, 0.5],
];
const linear = linearClassifier(WEIGHTS, [0, 0.5], [2, 2, 2]);
const IMAGE = [0.5, 0.25, 1, 0, 0.75, 0.5, 0.1, 0.2];

function contextOf(change: Partial<SaliencyContext> = {}): SaliencyContext {
  return { engine, classifier: linear, images: float32(IMAGE, [1, 2, 2, 2]), targets: int32([1], [1]), ...change };
}

function expectClose(array: NdArray, expected: readonly number[], digits = 5): void {
  expect(array.data.length).toBe(expected.length);
  expected.forEach((value, i) => {
    expect(array.data[i]).toBeCloseTo(value, digits);
  });
}

describe('on a linear model', () => {
  test('the gradient is the row of weights, its channels summed', async () => {
    const { map } = await gradient.explain(contextOf());
    expect(map.shape).toEqual([1, 2, 2, 1]);
    expectClose(map, [3, 2, -2, 4.5]);
  });

  test('the gradient of the probability is p (1 - p) times it, that of the loss (p - 1) times', async () => {
    const logit = 0.5 + IMAGE.reduce((sum, x, i) => sum + x * (WEIGHTS[1]?.[i] ?? 0), 0);
    const p = 1 / (1 + Math.exp(-logit));
    expectClose(
      (await gradient.explain(contextOf({ output: 'probability' }))).map,
      [3, 2, -2, 4.5].map((w) => w * p * (1 - p)),
    );
    expectClose(
      (await gradient.explain(contextOf({ output: 'loss' }))).map,
      [3, 2, -2, 4.5].map((w) => w * (p - 1)),
    );
  });

  test('input x gradient is w x', async () => {
    expectClose((await inputXGradient.explain(contextOf())).map, [1, 3, -1, 0.5]);
  });

  test('integrated gradients are w (x - baseline) in any number of steps, without a gap', async () => {
    for (const steps of [1, 32]) {
      const { map, check } = await integratedGradients.explain(contextOf(), { steps, baseline: 0.5 });
      // Pixel by pixel: 0 - 0.5, 1.5 + 0.5, 0 + 0, -1.6 - 0.15.
      expectClose(map, [-0.5, 2, 0, -1.75]);
      expect(check?.completenessGap).toHaveLength(1);
      expect(check?.completenessGap[0]).toBeCloseTo(0, 5);
    }
  });

  test('SmoothGrad is the gradient', async () => {
    expectClose((await smoothgrad.explain(contextOf(), { samples: 7 })).map, [3, 2, -2, 4.5]);
  });
});

describe('integrated gradients, published fixtures', () => {
  const at = (...values: number[]) => float32(values, [1, 1, values.length, 1]);
  const target = int32([0], [1]);
  const one = tf.scalar;

  test.each([
    {
      name: 'ReLU(ReLU(x1) - 1 - ReLU(x2))',
      f: ([a, b]: readonly tf.Tensor[]) =>
        tf.relu(tf.sub(tf.sub(tf.relu(a as tf.Tensor), one(1)), tf.relu(b as tf.Tensor))),
    },
    {
      name: 'ReLU(ReLU(x1 - 1) - ReLU(x2))',
      f: ([a, b]: readonly tf.Tensor[]) =>
        tf.relu(tf.sub(tf.relu(tf.sub(a as tf.Tensor, one(1))), tf.relu(b as tf.Tensor))),
    },
  ])('$name at (3, 1) gives (1.5, -0.5)', async ({ f }) => {
    const context = contextOf({ classifier: formula(2, f), images: at(3, 1), targets: target });
    const { map, check } = await integrate(context, at(0, 0), 100);
    expectClose(map, [1.5, -0.5]);
    expect(check?.completenessGap[0]).toBeCloseTo(0, 5);
  });

  test('5 x + y^2 + sin z from (0.5, 1, 1) to (1, 2, 3) gives (2.5, 3, -0.70035)', async () => {
    const f = ([x, y, z]: readonly tf.Tensor[]) =>
      tf.add(tf.add(tf.mul(x as tf.Tensor, one(5)), tf.mul(y as tf.Tensor, y as tf.Tensor)), tf.sin(z as tf.Tensor));
    const context = contextOf({ classifier: formula(3, f), images: at(1, 2, 3), targets: target });
    expectClose((await integrate(context, at(0.5, 1, 1), 200)).map, [2.5, 3, -0.70035], 4);
  });

  test('the gap tells of too few steps: x^2 from 0 to 1 by one midpoint loses nothing, x^4 loses a half', async () => {
    const power =
      (n: number) =>
      ([x]: readonly tf.Tensor[]) =>
        tf.pow(x as tf.Tensor, one(n));
    const gapOf = async (n: number) =>
      (await integrate(contextOf({ classifier: formula(1, power(n)), images: at(1), targets: target }), at(0), 1)).check
        ?.completenessGap[0];
    expect(await gapOf(2)).toBeCloseTo(0, 6);
    expect(await gapOf(4)).toBeCloseTo(4 * 0.5 ** 3 - 1, 6);
  });
});

describe('SmoothGrad', () => {
  const curved = formula(4, (columns) => columns.map((x) => tf.mul(x, tf.mul(x, x))).reduce((a, b) => tf.add(a, b)));
  const rows = [0, 1, 2].map((sample) => [...uniform({ seed: 1, stream: 'test.images', sample }, 4)]);
  const context = (samples: number[], seed = 4) =>
    contextOf({
      classifier: curved,
      images: float32(
        samples.flatMap((sample) => rows[sample] ?? []),
        [samples.length, 1, 4, 1],
      ),
      targets: int32(
        samples.map(() => 0),
        [samples.length],
      ),
      sampleIndices: samples,
      seed,
    });

  test('of x^3 is 3 (x^2 + deviation^2) in the limit', async () => {
    const { map } = await smoothgrad.explain(context([0]), { samples: 1000, deviation: 0.5 });
    // One draw has a standard deviation of at most sqrt((6 x 0.5)^2 + 2 (3 x 0.25)^2) = 3.2, the mean of 1000 one of 0.1.
    (rows[0] ?? []).forEach((x, i) => {
      expect(Math.abs((map.data[i] ?? 0) - 3 * (x * x + 0.25))).toBeLessThan(0.4);
    });
  });

  test('draws the same for a sample alone and in a batch, and something else for another seed', async () => {
    const settings = { samples: 10 };
    const together = (await smoothgrad.explain(context([0, 1, 2]), settings)).map;
    const alone = (await smoothgrad.explain(context([1]), settings)).map;
    expectClose(alone, [...together.data.subarray(4, 8)], 6);
    expect((await smoothgrad.explain(context([0, 1, 2]), settings)).map.data).toEqual(together.data);
    expect((await smoothgrad.explain(context([1], 5), settings)).map.data).not.toEqual(alone.data);
  });

  test('wraps any method, and passes its settings on', async () => {
    const method = smooth(integratedGradients, 'smooth-integrated-gradients', 'a test');
    const { map } = await method.explain(contextOf(), { samples: 4, deviation: 0, steps: 2, baseline: 0.5 });
    expectClose(map, [-0.5, 2, 0, -1.75]);
  });
});

describe('perturbation', () => {
  const SIZE = 13;
  const looksAt = (row: number, column: number, weight = 1) =>
    linearClassifier(
      [0, 1].map((k) =>
        Array.from({ length: SIZE * SIZE }, (_, i) => (k === 1 && i === row * SIZE + column ? weight : 0)),
      ),
      [0, 0],
      [SIZE, SIZE, 1],
    );
  /** A white pixel on black. */
  const dot = (row: number, column: number) =>
    Array.from({ length: SIZE * SIZE }, (_, i) => (i === row * SIZE + column ? 1 : 0));
  const explain = (change: Partial<SaliencyContext>, settings: object) =>
    perturbation.explain(contextOf({ images: float32(dot(6, 2), [1, SIZE, SIZE, 1]), ...change }), settings);
  const peak = ({ data }: NdArray) => data.indexOf(Math.max(...data));

  test.each([1, 2, 4])('of a model that looks at one pixel peaks there, stride %i', async (stride) => {
    // (6, 2) is on the grid of each stride: 0, 1, ..; 0, 2, ..; 0, 4 .. would miss it, so stride 4 looks at (8, 4).
    const [row, column] = stride === 4 ? [8, 4] : [6, 2];
    const images = float32(dot(row, column), [1, SIZE, SIZE, 1]);
    const { map } = await explain({ images, classifier: looksAt(row, column) }, { stride });
    expect(peak(map)).toBe(row * SIZE + column);
    expect(map.data.every((value) => value >= 0)).toBe(true);
  });

  test('there it is half the squared change of the logit', async () => {
    // M = 1 at the centre, so I' = blur(I) there. Weights exp(-k^2/2) for k = -4..4, far from the edges: blur(I) = (1 / 2.5066)^2 of the dot.
    const { map } = await explain(
      { images: float32(dot(6, 6), [1, SIZE, SIZE, 1]), classifier: looksAt(6, 6, 3) },
      { stride: 1, blurSigma: 1 },
    );
    const change = 3 * (1 - 1 / (2 * Math.PI));
    expect(Math.max(...map.data)).toBeCloseTo(0.5 * change ** 2, 3);
  });

  test('is zero where the image is flat, whatever the model', async () => {
    const images = float32(Array(SIZE * SIZE).fill(0.3), [1, SIZE, SIZE, 1]);
    const { map } = await explain({ images, classifier: looksAt(6, 2) }, {});
    expect(Math.max(...map.data)).toBeLessThan(1e-10);
  });

  test('does not depend on the batch, and only the loss depends on the target', async () => {
    const pictures = [dot(6, 2), dot(3, 9), dot(6, 2)];
    const images = float32(pictures.flat(), [3, SIZE, SIZE, 1]);
    const run = (targets: number[], output: 'logit' | 'loss') =>
      explain({ images, classifier: looksAt(6, 2), targets: int32(targets, [3]), output }, { stride: 3 });
    const { map } = await run([0, 1, 1], 'logit');
    const alone = await explain({ classifier: looksAt(6, 2) }, { stride: 3 });
    expectClose(alone.map, [...map.data.subarray(0, SIZE * SIZE)], 6);
    expectClose(alone.map, [...map.data.subarray(2 * SIZE * SIZE)], 6);
    const loss = (await run([0, 1, 1], 'loss')).map.data;
    expect(loss.subarray(0, SIZE * SIZE)).not.toEqual(loss.subarray(2 * SIZE * SIZE));
  });

  test('takes colour images', async () => {
    const { map } = await perturbation.explain(contextOf(), { stride: 1 });
    expect(map.shape).toEqual([1, 2, 2, 1]);
  });
});

describe('sarfa', () => {
  // One pixel on black, blurred with sigma 1 in both directions: at the pixel I' = 1 / (2 pi).
  const SIZE = 13;
  const left = 1 / (2 * Math.PI);
  /** Logits are this many times the middle pixel. */
  const slopes = (...slope: number[]) =>
    linearClassifier(
      slope.map((k) => Array.from({ length: SIZE * SIZE }, (_, i) => (i === 6 * SIZE + 6 ? k : 0))),
      slope.map(() => 0),
      [SIZE, SIZE, 1],
    );
  const dot = Array.from({ length: SIZE * SIZE }, (_, i) => Number(i === 6 * SIZE + 6));
  const explain = (classifier: Classifier, target: number, output?: 'loss' | 'probability') =>
    sarfa.explain(
      {
        engine,
        classifier,
        images: float32(dot, [1, SIZE, SIZE, 1]),
        targets: int32([target], [1]),
        ...(output ? { output } : {}),
      },
      { stride: 1, blurSigma: 1 },
    );
  const softmax = (...logits: number[]) => {
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
    return logits.map((logit) => Math.exp(logit) / total);
  };
  const share = (a = 0, b = 0): [number, number] => [a / (a + b), b / (a + b)];

  test('is the harmonic mean of the fall and of how much the others stay as they were', async () => {
    const [p, q] = [softmax(2, 1, -1), softmax(2 * left, left, -left)];
    const [[a, b], [c, d]] = [share(p[1], p[2]), share(q[1], q[2])];
    const kept = 1 / (1 + a * Math.log(a / c) + b * Math.log(b / d));
    const fall = (p[0] ?? 0) - (q[0] ?? 0);
    const { map } = await explain(slopes(2, 1, -1), 0);
    expect(map.data[6 * SIZE + 6]).toBeCloseTo((2 * kept * fall) / (kept + fall), 3);
    expect(map.data.indexOf(Math.max(...map.data))).toBe(6 * SIZE + 6);
  });

  test('is nothing where the probability rises', async () => {
    const { map } = await explain(slopes(-2, 1, 0), 0);
    expect(Math.max(...map.data)).toBe(0);
  });

  test('two classes: the fall alone, since the other has nobody to share with', async () => {
    const fall = (softmax(3, 0)[0] ?? 0) - (softmax(3 * left, 0)[0] ?? 0);
    const { map } = await explain(slopes(3, 0), 0, 'probability');
    expect(map.data[6 * SIZE + 6]).toBeCloseTo((2 * fall) / (1 + fall), 3);
  });

  test('stays finite when a model is sure of itself', async () => {
    const { map } = await explain(slopes(500, -500, 0), 0);
    expect(map.data.every((value) => value >= 0 && value <= 1)).toBe(true);
  });

  test('of the loss is refused', () =>
    expect(explain(slopes(1, 0), 0, 'loss')).rejects.toThrow(
      'output: "loss" has no meaning for sarfa: logit or probability',
    ));
});

describe.each(Object.values(saliencyMethods))('$name', (method) => {
  // A convolution of one pixel and two channels, for methods that need one.
  const filters = [
    [1, -1],
    [0.5, 2],
  ];
  const rows = [
    [1, 0, 0, 1, 0, 0, 1, 0],
    [0, 1, 1, 0, -1, 0, 0, 1],
  ];
  const classifier = convolutional([2, 2, 2], 1, filters, [0.1, -0.2], rows);

  test('gives a finite map [batch, height, width, 1], the same every time, and leaves its input alone', async () => {
    const images = float32([...IMAGE, ...IMAGE.toReversed()], [2, 2, 2, 2]);
    const before = images.data.slice();
    const context = contextOf({ classifier, images, targets: int32([1, 0], [2]) });
    const { map } = await method.explain(context);
    expect(map.shape).toEqual([2, 2, 2, 1]);
    expect(map.data.every(Number.isFinite)).toBe(true);
    expect((await method.explain(context)).map.data).toEqual(map.data);
    expect(images.data).toEqual(before);
  });

  test('stops when it is told to', async () => {
    await expect(
      method.explain(contextOf({ classifier, signal: AbortSignal.abort(new Error('enough')) })),
    ).rejects.toThrow('enough');
  });
});

describe('what is refused', () => {
  const table: { what: string; change: object; settings?: object; reason: string; field: string }[] = [
    { what: 'another shape', change: { images: float32([1], [1, 1, 1, 1]) }, reason: 'INVALID_INPUT', field: 'images' },
    {
      what: 'a pixel that is not a number',
      change: { images: float32(IMAGE.with(0, Number.NaN), [1, 2, 2, 2]) },
      reason: 'NOT_FINITE',
      field: 'images',
    },
    {
      what: 'a target that is no class',
      change: { targets: int32([2], [1]) },
      reason: 'INVALID_INPUT',
      field: 'targets',
    },
    { what: 'an unknown output', change: { output: 'entropy' }, reason: 'UNKNOWN_OUTPUT', field: 'output' },
    {
      what: 'too many steps',
      change: {},
      settings: { steps: 1e6 },
      reason: 'INVALID_SETTING',
      field: 'settings.steps',
    },
    {
      what: 'a setting that there is not',
      change: {},
      settings: { stepz: 1 },
      reason: 'INVALID_SETTING',
      field: 'settings',
    },
    {
      what: 'addresses of other samples',
      change: { sampleIndices: [1, 2] },
      reason: 'INVALID_INPUT',
      field: 'sampleIndices',
    },
  ];
  test.each(table)('$what', async ({ change, settings, reason, field }) => {
    const error = await integratedGradients.explain(contextOf(change), settings).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(SaliencyError);
    expect(error).toMatchObject({ reason, field });
  });

  test('an unknown method, with the known ones', () => {
    expect(() => methodNamed('lime')).toThrow(
      'method: "lime" is none of gradient, input-x-gradient, smoothgrad, integrated-gradients, perturbation, sarfa, occlusion, shapley, grad-cam',
    );
  });
});

test('methods are registered under their own names', () => {
  expect(Object.entries(saliencyMethods).filter(([name, method]) => method.name !== name)).toEqual([]);
});
