import { createEngine, type Engine, float32, int32, type NdArray, uniform } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Attack, AttackContext } from './attack.ts';
import { AttackError } from './errors.ts';
import { fgsm } from './fgsm.ts';
import { miFgsm } from './mi-fgsm.ts';
import { l2, linf, type Norm, norms } from './norms.ts';
import { pgd } from './pgd.ts';
import { attackNamed, attacks } from './registry.ts';
import { linearClassifier } from './testing/linear.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

function contextOf(
  source: Classifier,
  rows: readonly (readonly number[])[],
  labels: readonly number[],
  norm: Norm,
  epsilon: number,
): AttackContext {
  const images = float32(rows.flat(), [rows.length, ...source.input]);
  const sampleIndices = rows.map((_, index) => index);
  return {
    engine,
    source,
    images,
    labels: int32([...labels], [labels.length]),
    norm,
    epsilon,
    seed: 11,
    restart: 0,
    sampleIndices,
  };
}

/** The class of one image by plain arithmetic. */
function classOf(rows: readonly (readonly number[])[], bias: readonly number[], image: ArrayLike<number>): number {
  const logits = rows.map((row, k) => row.reduce((sum, weight, i) => sum + weight * (image[i] ?? 0), bias[k] ?? 0));
  return logits.indexOf(Math.max(...logits));
}

describe('minimal perturbations of a linear model', () => {
  const weights = [
    [1, 2, -1],
    [0, -1, 3],
    [2, 0, 0.5],
  ];
  const bias = [0.1, -0.2, 0];
  const image = [0.3, 0.6, 0.2];
  // Class 2 is nearest; against class 1 alone the model has only rows 0 and 1.
  const models = {
    'class 2': { rows: weights, bias, linf: 0.15556, l2: 0.25997 },
    'class 1': { rows: weights.slice(0, 2), bias: bias.slice(0, 2), linf: 0.2, l2: 0.31379 },
  };
  // Steps longer than the ball forget the random start quickly: the optimum is reached to float32's precision.
  const methods: { attack: Attack; settings: { loss: string; steps?: number; stepSize?: number } }[] = [
    { attack: fgsm, settings: { loss: 'margin' } },
    { attack: pgd, settings: { loss: 'margin', steps: 40, stepSize: 1 } },
    { attack: pgd, settings: { loss: 'ce', steps: 40, stepSize: 1 } },
    { attack: miFgsm, settings: { loss: 'margin' } },
  ];
  const table = Object.entries(models).flatMap(([to, { rows, bias: offsets, ...minimal }]) =>
    methods.flatMap(({ attack, settings }) =>
      [linf, l2].map((norm) => ({ to, rows, offsets, attack, settings, norm, minimal: minimal[norm.name] })),
    ),
  );

  // With three classes the cross-entropy pulls towards both others, not straight to the nearest: it is held to two.
  const exact = table.filter(({ to, settings }) => settings.loss === 'margin' || to === 'class 1');

  test.each(exact)(
    '$attack.name $settings.loss in $norm.name reaches $to from $minimal on',
    async ({ rows, offsets, attack, settings, norm, minimal }) => {
      const source = linearClassifier(rows, offsets);
      const found = async (epsilon: number) => {
        const adversarial = await attack.run(contextOf(source, [image], [0], norm, epsilon), settings);
        return classOf(rows, offsets, adversarial.data);
      };
      expect(await found(minimal * 0.999)).toBe(0);
      expect(await found(minimal * 1.001)).not.toBe(0);
    },
  );
});

test('the box takes away what room it can: margin (1, -2, 0.5) at (0.05, 0.9, 0.5), epsilon 0.2, falls by 0.35', async () => {
  const source = linearClassifier(
    [
      [1, -2, 0.5],
      [0, 0, 0],
    ],
    [3, 0],
  );
  const { data } = await fgsm.run(contextOf(source, [[0.05, 0.9, 0.5]], [0], linf, 0.2));
  const [a = 0, b = 0, c = 0] = data;
  expect([a, b]).toEqual([0, 1]);
  expect(a - 2 * b + 0.5 * c - (0.05 - 1.8 + 0.25)).toBeCloseTo(-0.35, 6);
});

describe('channel means: N pixels, gap g between two channels', () => {
  // Logit k is the mean of channel k of 2 x 2 pixels: minimal linf g/2 = 0.1, l2 g sqrt(N/2) = 0.2 sqrt(2).
  const rows = [0, 1].map((channel) => Array.from({ length: 8 }, (_, i) => (i % 2 === channel ? 0.25 : 0)));
  const image = Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? 0.6 : 0.4));
  test.each([
    { norm: linf, minimal: 0.1 },
    { norm: l2, minimal: 0.2 * Math.SQRT2 },
  ])('$norm.name $minimal', async ({ norm, minimal }) => {
    const source = linearClassifier(rows, [0, 0], [2, 2, 2]);
    for (const [factor, expected] of [
      [0.999, 0],
      [1.001, 1],
    ] as const) {
      const { data } = await pgd.run(contextOf(source, [image], [0], norm, minimal * factor), {
        steps: 40,
        stepSize: 1,
      });
      expect(classOf(rows, [0, 0], data)).toBe(expected);
    }
  });
});

const everyAttackAndNorm = Object.values(attacks).flatMap((attack) =>
  attack.norms.map((name) => ({ attack, norm: norms[name] })),
);
/** A model with nothing special about it, 3 classes on 2 x 2 x 2. */
const plain = linearClassifier(
  [0, 1, 2].map((k) => [...uniform({ seed: 5, stream: 'test.weights', sample: k }, 8)].map((u) => 4 * u - 2)),
  [0.1, 0, -0.1],
  [2, 2, 2],
);

describe.each(everyAttackAndNorm)('$attack.name in $norm.name', ({ attack, norm }) => {
  const rows = [0, 1, 2].map((sample) => [...uniform({ seed: 6, stream: 'test.images', sample }, 8)]);

  test('stays in the ball and in the box after every step', async () => {
    const pixel = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(pixel, { minLength: 8, maxLength: 8 }), { minLength: 3, maxLength: 3 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        async (images, epsilon, seed) => {
          const context = { ...contextOf(plain, images, [0, 1, 2], norm, epsilon), seed };
          let checked = 0;
          const onStep = (adversarial: NdArray) => {
            checked++;
            expectInside(context.images, adversarial, norm, epsilon);
          };
          expectInside(context.images, await attack.run({ ...context, onStep }), norm, epsilon);
          expect(checked).toBeGreaterThan(0);
        },
      ),
      { numRuns: 25, seed: 1 },
    );
  });

  test('gives the same bytes for the same seed and leaves its input alone', async () => {
    const context = contextOf(plain, rows, [0, 1, 2], norm, 0.2);
    const before = context.images.data.slice();
    const first = await attack.run(context);
    expect((await attack.run(context)).data).toEqual(first.data);
    expect(context.images.data).toEqual(before);
  });

  test('does the same to a sample alone and in a batch', async () => {
    const together = await attack.run(contextOf(plain, rows, [0, 1, 2], norm, 0.2));
    for (const sample of [0, 1, 2]) {
      const context = contextOf(plain, [rows[sample] ?? []], [sample], norm, 0.2);
      const alone = await attack.run({ ...context, sampleIndices: [sample] });
      alone.data.forEach((value, i) => {
        expect(Math.abs(value - (together.data[sample * 8 + i] ?? 0))).toBeLessThan(1e-6);
      });
    }
  });

  test('gives the image back at epsilon 0', async () => {
    const context = contextOf(plain, rows, [0, 1, 2], norm, 0);
    const { data } = await attack.run(context);
    data.forEach((value, i) => {
      expect(value).toBeCloseTo(context.images.data[i] ?? 0, 6);
    });
  });

  test('stops when it is told to', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const run = attack.run({ ...contextOf(plain, rows, [0, 1, 2], norm, 0.2), signal });
    await expect(run).rejects.toThrow('enough');
  });
});

describe('what is refused', () => {
  const good = () => contextOf(plain, [Array(8).fill(0.5)], [0], linf, 0.1);
  const image = (value: number) => float32([value, ...Array(7).fill(0.5)], [1, 2, 2, 2]);
  const table: { what: string; change: Partial<AttackContext>; settings?: object; reason: string; field: string }[] = [
    {
      what: 'a pixel that is not a number',
      change: { images: image(Number.NaN) },
      reason: 'NOT_FINITE',
      field: 'images',
    },
    { what: 'a pixel above 1', change: { images: image(1.5) }, reason: 'INVALID_INPUT', field: 'images' },
    {
      what: 'another shape',
      change: { images: float32(Array(4).fill(0), [1, 2, 2, 1]) },
      reason: 'INVALID_INPUT',
      field: 'images',
    },
    { what: 'a label that is no class', change: { labels: int32([3], [1]) }, reason: 'INVALID_INPUT', field: 'labels' },
    { what: 'a negative epsilon', change: { epsilon: -0.1 }, reason: 'INVALID_EPSILON', field: 'epsilon' },
    { what: 'an epsilon of 8 for 8/255', change: { epsilon: 8 }, reason: 'INVALID_EPSILON', field: 'epsilon' },
    { what: 'no steps', change: {}, settings: { steps: 0 }, reason: 'INVALID_SETTING', field: 'settings.steps' },
    {
      what: 'a setting that there is not',
      change: {},
      settings: { step: 3 },
      reason: 'INVALID_SETTING',
      field: 'settings',
    },
    { what: 'too few addresses', change: { sampleIndices: [] }, reason: 'INVALID_INPUT', field: 'sampleIndices' },
  ];
  test.each(table)('$what', async ({ change, settings, reason, field }) => {
    const error = await pgd.run({ ...good(), ...change }, settings).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(AttackError);
    expect(error).toMatchObject({ reason, field });
  });

  test('an unknown attack, with the known ones', () => {
    expect(() => attackNamed('cw')).toThrow('attack: "cw" is none of noise, fgsm, pgd, mi-fgsm');
  });
});

test('attacks are registered under their own names', () => {
  expect(Object.entries(attacks).filter(([name, attack]) => attack.name !== name)).toEqual([]);
});

function expectInside(images: NdArray, adversarial: NdArray, norm: Norm, epsilon: number): void {
  const batch = images.shape[0] ?? 1;
  const size = images.data.length / batch;
  expect(adversarial.data.every((value) => value >= 0 && value <= 1)).toBe(true);
  for (let row = 0; row < batch; row++) {
    const delta = [...adversarial.data.subarray(row * size, (row + 1) * size)].map(
      (value, i) => value - (images.data[row * size + i] ?? 0),
    );
    const distance = norm === linf ? Math.max(...delta.map(Math.abs)) : Math.hypot(...delta);
    expect(distance).toBeLessThanOrEqual(epsilon + 1e-6);
  }
}
