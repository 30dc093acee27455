import { createEngine, type Engine, float32, int32, type NdArray, uniform } from '@jsigr/engine';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { apgd, apgdT } from './apgd.ts';
import type { Attack, AttackContext } from './attack.ts';
import { bim } from './bim.ts';
import { carliniWagner } from './carlini-wagner.ts';
import { deepfool } from './deepfool.ts';
import { AttackError } from './errors.ts';
import { fabT } from './fab.ts';
import { fgsm } from './fgsm.ts';
import { judge } from './judge.ts';
import { miFgsm } from './mi-fgsm.ts';
import { l1, l2, linf, type Norm, norms } from './norms.ts';
import { pgd } from './pgd.ts';
import { attackNamed, attacks } from './registry.ts';
import { contextOf, imageOf } from './testing/context.ts';
import { linearClassifier } from './testing/linear.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

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
    'class 2': { rows: weights, bias, linf: 0.15556, l2: 0.25997, l1: 0.35 },
    'class 1': { rows: weights.slice(0, 2), bias: bias.slice(0, 2), linf: 0.2, l2: 0.31379, l1: 0.4 },
  };
  // Steps longer than the ball forget the random start quickly: the optimum is reached to float32's precision.
  const methods: { attack: Attack; settings: Record<string, unknown>; off?: number }[] = [
    { attack: fgsm, settings: { loss: 'margin' } },
    { attack: bim, settings: { loss: 'margin' } },
    { attack: pgd, settings: { loss: 'margin', steps: 40, stepSize: 1 } },
    { attack: pgd, settings: { loss: 'dlr', steps: 40, stepSize: 1 } },
    { attack: pgd, settings: { loss: 'ce', steps: 40, stepSize: 1 } },
    { attack: apgd, settings: { loss: 'margin' } },
    { attack: apgdT, settings: {} },
    // FAB and DeepFool step a little beyond the boundary, and C&W stops where Adam does: the smallest distance is missed by so much at most.
    { attack: fabT, settings: { targets: 2 }, off: 0.01 },
    { attack: deepfool, settings: {}, off: 0.021 },
    { attack: carliniWagner, settings: { learningRate: 0.02 }, off: 0.01 },
    { attack: miFgsm, settings: { loss: 'margin' } },
  ];
  const table = Object.entries(models).flatMap(([to, { rows, bias: offsets, ...minimal }]) =>
    methods.flatMap(({ attack, settings, off = 0.001 }) =>
      attack.norms.map((name) => ({
        to,
        rows,
        offsets,
        attack,
        settings,
        off,
        norm: norms[name],
        minimal: minimal[name],
      })),
    ),
  );

  // With three classes the cross-entropy and the ratio pull towards both others, not straight to the nearest: they are held to two.
  const exact = table.filter(({ to, settings }) => !['ce', 'dlr'].includes(String(settings.loss)) || to === 'class 1');

  test.each(exact)(
    '$attack.name $settings.loss in $norm.name reaches $to from $minimal on',
    async ({ rows, offsets, attack, settings, norm, minimal, off }) => {
      const source = linearClassifier(rows, offsets);
      const attempts = attack.attempts(settings, rows.length);
      // As the runner does: every attempt, and only what lies in the ball counts.
      const found = async (epsilon: number) => {
        const context = contextOf(engine, source, Array(attempts).fill(image), Array(attempts).fill(0), norm, epsilon);
        const { adversarial } = await attack.run(
          { ...context, sampleIndices: context.attempts, attempts: Array.from({ length: attempts }, (_, i) => i) },
          settings,
        );
        return Array.from({ length: attempts }, (_, i) => imageOf(adversarial, i)).some((point) => {
          const distance = norm.lengthOf(point.map((value, i) => value - (image[i] ?? 0)));
          return distance <= epsilon * (1 + 1e-5) && classOf(rows, offsets, point) !== 0;
        });
      };
      expect(await found(minimal * (1 - off))).toBe(false);
      expect(await found(minimal * (1 + off))).toBe(true);
    },
  );
});

test('Carlini and Wagner’s confidence: what is returned lies beyond the boundary by as much', async () => {
  const source = linearClassifier(
    [
      [3, 0, 0],
      [0, 4, 0],
    ],
    [0, 0],
  );
  const context = contextOf(engine, source, [[0.6, 0.3, 0.5]], [0], l2, 1.5);
  for (const confidence of [0, 0.5]) {
    // To the end of the search: an epsilon of 0 is never reached.
    const settings = { confidence, learningRate: 0.02 };
    const { adversarial } = await carliniWagner.run({ ...context, epsilons: [0] }, settings);
    const [a = 0, b = 0] = imageOf(adversarial);
    const lead = 4 * b - 3 * a;
    expect(lead).toBeGreaterThan(0);
    expect(lead).toBeGreaterThanOrEqual(confidence);
    expect(lead).toBeLessThan(confidence + 0.05);
  }
});

test('the box takes away what room it can: margin (1, -2, 0.5) at (0.05, 0.9, 0.5), epsilon 0.2, falls by 0.35', async () => {
  const source = linearClassifier(
    [
      [1, -2, 0.5],
      [0, 0, 0],
    ],
    [3, 0],
  );
  const { adversarial } = await fgsm.run(contextOf(engine, source, [[0.05, 0.9, 0.5]], [0], linf, 0.2));
  const [a = 0, b = 0, c = 0] = imageOf(adversarial);
  expect([a, b]).toEqual([0, 1]);
  expect(a - 2 * b + 0.5 * c - (0.05 - 1.8 + 0.25)).toBeCloseTo(-0.35, 6);
});

describe('channel means: N pixels, gap g between two channels', () => {
  // Logit k is the mean of channel k of 2 x 2 pixels: minimal linf g/2 = 0.1, l2 g sqrt(N/2) = 0.2 sqrt(2), l1 g N = 0.8.
  const rows = [0, 1].map((channel) => Array.from({ length: 8 }, (_, i) => (i % 2 === channel ? 0.25 : 0)));
  const image = Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? 0.6 : 0.4));
  test.each([
    { norm: linf, minimal: 0.1 },
    { norm: l2, minimal: 0.2 * Math.SQRT2 },
    { norm: l1, minimal: 0.2 * 4 },
  ])('$norm.name $minimal', async ({ norm, minimal }) => {
    const source = linearClassifier(rows, [0, 0], [2, 2, 2]);
    for (const [factor, expected] of [
      [0.999, 0],
      [1.001, 1],
    ] as const) {
      const { adversarial } = await pgd.run(contextOf(engine, source, [image], [0], norm, minimal * factor), {
        steps: 40,
        stepSize: norm === l1 ? 0.1 : 1, // an l1 step moves one number; the box would swallow a long one
      });
      expect(classOf(rows, [0, 0], imageOf(adversarial))).toBe(expected);
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

/** Cheap settings: the properties hold for any. */
const brief: Readonly<Record<string, object>> = {
  pgd: { steps: 5 },
  bim: { steps: 5 },
  apgd: { steps: 10 },
  'apgd-t': { steps: 10 },
  'fab-t': { steps: 5 },
  deepfool: { steps: 5 },
  cw: { steps: 5, searches: 2 },
  square: { queries: 20 },
  'hop-skip-jump': { queries: 300 },
  'mi-fgsm': { steps: 5 },
  transfer: { steps: 2, recipe: 'ni+di+si+ti' },
};

describe.each(everyAttackAndNorm)('$attack.name in $norm.name', ({ attack, norm }) => {
  const rows = [0, 1, 2].map((sample) => [...uniform({ seed: 6, stream: 'test.images', sample }, 8)]);
  const run = (context: AttackContext) => attack.run(context, brief[attack.name]);

  test(`stays ${attack.goal === 'radius' ? 'in the ball and ' : ''}in the box after every step`, async () => {
    const pixel = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(pixel, { minLength: 8, maxLength: 8 }), { minLength: 3, maxLength: 3 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        async (images, epsilon, seed) => {
          const context = { ...contextOf(engine, plain, images, [0, 1, 2], norm, epsilon), seed };
          let checked = 0;
          const radius = attack.goal === 'radius' ? epsilon : Number.POSITIVE_INFINITY;
          const onStep = (points: NdArray) => {
            checked++;
            expectInside(context.images, points, norm, radius);
          };
          const { adversarial } = await run({ ...context, onStep });
          expectInside(context.images, adversarial, norm, radius);
          expect(checked).toBeGreaterThan(0);
        },
      ),
      { numRuns: 10, seed: 1 },
    );
  });

  test('gives the same bytes for the same seed and leaves its input alone', async () => {
    const context = contextOf(engine, plain, rows, [0, 1, 2], norm, 0.2);
    const before = context.images.data.slice();
    const first = await run(context);
    expect(await run(context)).toEqual(first);
    expect(context.images.data).toEqual(before);
  });

  test('does the same to a sample alone and in a batch, in any order', async () => {
    const context = contextOf(engine, plain, rows, [0, 1, 2], norm, 0.2);
    const together = await run(context);
    for (const sample of [2, 0, 1]) {
      const single = contextOf(engine, plain, [rows[sample] ?? []], [sample], norm, 0.2);
      const alone = await run({ ...single, sampleIndices: [sample], ...(context.pool && { pool: context.pool }) });
      expectClose(imageOf(alone.adversarial), imageOf(together.adversarial, sample), 1e-5);
    }
    const order = [2, 0, 1];
    const shuffled = await run({
      ...contextOf(
        engine,
        plain,
        order.map((sample) => rows[sample] ?? []),
        order,
        norm,
        0.2,
      ),
      sampleIndices: order,
      ...(context.pool && { pool: context.pool }),
    });
    order.forEach((sample, row) => {
      expectClose(imageOf(shuffled.adversarial, row), imageOf(together.adversarial, sample), 1e-5);
    });
  });

  test('gives the image back at epsilon 0, once the runner has confined it', async () => {
    const context = contextOf(engine, plain, rows, [0, 1, 2], norm, 0);
    const { adversarial } = await run(context);
    if (attack.goal === 'radius') expectClose([...adversarial.data], [...context.images.data], 1e-6);
    const samples = { ...context, images: context.images };
    const judged = await judge({ engine, target: plain, norm, seed: 0, batchSize: 3 }, samples, adversarial, [0, 0, 0]);
    judged.forEach(({ image }, row) => {
      expectClose([...image], rows[row] ?? [], 1e-6);
    });
  });

  test('spends at most what its formula says', async () => {
    const settings = brief[attack.name];
    const cost = attack.cost(settings, plain.classes);
    const { forwards, backwards } = await run(contextOf(engine, plain, rows, [0, 1, 2], norm, 0.01));
    expect(Math.max(...forwards)).toBeLessThanOrEqual(cost.forwards);
    expect(Math.max(...backwards)).toBeLessThanOrEqual(cost.backwards);
  });

  test('stops when it is told to', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const stopped = run({ ...contextOf(engine, plain, rows, [0, 1, 2], norm, 0.2), signal });
    await expect(stopped).rejects.toThrow('enough');
  });
});

describe('what is refused', () => {
  const good = () => contextOf(engine, plain, [Array(8).fill(0.5)], [0], linf, 0.1);
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
    { what: 'a negative epsilon', change: { epsilons: [-0.1] }, reason: 'INVALID_EPSILON', field: 'epsilon' },
    { what: 'an epsilon of 8 for 8/255', change: { epsilons: [8] }, reason: 'INVALID_EPSILON', field: 'epsilon' },
    { what: 'no steps', change: {}, settings: { steps: 0 }, reason: 'INVALID_SETTING', field: 'settings.steps' },
    {
      what: 'a setting that there is not',
      change: {},
      settings: { step: 3 },
      reason: 'INVALID_SETTING',
      field: 'settings',
    },
    {
      what: 'a target that is no class',
      change: {},
      settings: { target: 3 },
      reason: 'INVALID_SETTING',
      field: 'settings.target',
    },
    {
      what: 'a start of another size',
      change: { starts: [new Float32Array(3)] },
      reason: 'INVALID_INPUT',
      field: 'starts[0]',
    },
    { what: 'too few addresses', change: { sampleIndices: [] }, reason: 'INVALID_INPUT', field: 'sampleIndices' },
  ];
  test.each(table)('$what', async ({ change, settings, reason, field }) => {
    const error = await pgd.run({ ...good(), ...change }, settings).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(AttackError);
    expect(error).toMatchObject({ reason, field });
  });

  test('an unknown attack, with the known ones', () => {
    expect(() => attackNamed('agpd')).toThrow('attack: "agpd" is none of noise, gaussian-noise, fgsm, bim, pgd, apgd,');
  });
});

test('attacks are registered under their own names', () => {
  expect(Object.entries(attacks).filter(([name, attack]) => attack.name !== name)).toEqual([]);
});

function expectInside(images: NdArray, points: NdArray, norm: Norm, radius: number): void {
  expect(points.data.every((value) => value >= 0 && value <= 1)).toBe(true);
  for (let row = 0; row < (images.shape[0] ?? 1); row++) {
    const before = imageOf(images, row);
    const distance = norm.lengthOf(imageOf(points, row).map((value, i) => value - (before[i] ?? 0)));
    expect(distance).toBeLessThanOrEqual(radius + 1e-6 * Math.max(1, radius));
  }
}

function expectClose(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  expect(Math.max(...actual.map((value, i) => Math.abs(value - (expected[i] ?? Number.NaN))))).toBeLessThan(tolerance);
}
