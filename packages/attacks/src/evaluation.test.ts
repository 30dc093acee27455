import { createEngine, type Engine, float32, type NdArray } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineAttack } from './attack.ts';
import { evaluate } from './evaluation.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import { linf } from './norms.ts';
import { defaultPlan, type PlanEntry } from './plan.ts';
import { randomised } from './randomised.ts';
import { runAttack } from './runner.ts';
import { greySplit, linearClassifier } from './testing/linear.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

const SIZE = 4;
const COUNT = 50;
// Class 1 where the sum of the first two pixels exceeds that of the last two. ||w||_1 of the logit difference is 4, ||w||_2 is 2.
const ROWS = [
  [0, 0, 0, 0],
  [1, 1, -1, -1],
];
const target = linearClassifier(ROWS, [0, 0]);
/** Labels as the target says, but every tenth wrong: clean accuracy is 0.9. */
const split = (() => {
  const grey = greySplit(COUNT, SIZE, 3);
  const labels = Uint8Array.from(
    { length: COUNT },
    (_, i) => (marginOf(grey.images, i) > 0 ? 1 : 0) ^ (i % 10 === 0 ? 1 : 0),
  );
  return { ...grey, labels };
})();
const indices = Array.from({ length: COUNT }, (_, i) => i);

/** Logit 1 minus logit 0 of the clean image. */
function marginOf(images: Uint8Array, sample: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = images.subarray(sample * SIZE, (sample + 1) * SIZE);
  return (a + b - c - d) / 255;
}

/** How many correctly classified samples are farther than epsilon from the boundary, in closed form. */
function robustCount(epsilon: number, dualNorm: number): number {
  return indices.filter((i) => i % 10 !== 0 && Math.abs(marginOf(split.images, i)) > epsilon * dualNorm).length;
}

const base: EvaluationOptions = {
  target,
  surrogates: [],
  split,
  indices,
  input: [1, 1, SIZE],
  plan: [],
  seed: 9,
  batchSize: 16,
};
const pgdPlan = (epsilons: number[], norm: PlanEntry['norm'] = 'linf'): PlanEntry[] => [
  { attack: 'pgd', norm, epsilons, settings: { steps: 10, stepSize: 1, loss: 'margin' } },
];

// Margins are multiples of 1/255; these epsilons keep away from ties.
describe('the robust accuracy of a linear model is the closed form', () => {
  test.each([
    { norm: 'linf', dualNorm: 4, epsilons: [0, 0.02, 0.051, 0.1015] },
    { norm: 'l2', dualNorm: 2, epsilons: [0, 0.05, 0.1015, 0.203] },
  ] as const)('$norm', async ({ norm, dualNorm, epsilons }) => {
    const { report } = await evaluate(engine, { ...base, plan: pgdPlan([...epsilons], norm) });
    expect(report.clean.count).toBe(45);
    const counts = report.attacks.map(({ robustAccuracy }) => robustAccuracy.count);
    expect(counts).toEqual(epsilons.map((epsilon) => robustCount(epsilon, dualNorm)));
    expect(report.worstCase.map(({ whiteBox }) => whiteBox?.count)).toEqual(counts);
    expect(report.attacks[1]?.successRate).toMatchObject({ total: 45, count: 45 - (counts[1] ?? 0) });
  });

  test('is 0 when epsilon is very large', async () => {
    const { report } = await evaluate(engine, { ...base, plan: pgdPlan([1]) });
    expect(report.attacks[0]?.robustAccuracy).toMatchObject({ value: 0, count: 0, total: COUNT });
  });
});

test('logits of any size fall as their scaled-down ones do', async () => {
  const large = linearClassifier(
    ROWS.map((row) => row.map((weight) => 1e11 * weight)),
    [0, 0],
  );
  const { report } = await evaluate(engine, { ...base, target: large, plan: pgdPlan([0.051]) });
  expect(report.attacks[0]?.robustAccuracy.count).toBe(robustCount(0.051, 4));
});

test('epsilon 0 is the clean image, and costs nothing', async () => {
  const { report, ledger } = await evaluate(engine, { ...base, plan: [...defaultPlan([0], { transfer: false })] });
  for (const result of report.attacks)
    expect(result).toMatchObject({ robustAccuracy: report.clean, successRate: { count: 0 }, forwards: 0 });
  expect(ledger.units).toEqual([]);
});

test('the ledger holds every attempt, and the report counts it', async () => {
  const plan: PlanEntry[] = [{ attack: 'noise', norm: 'linf', epsilons: [0.1, 0.05], settings: { restarts: 3 } }];
  const { report, ledger } = await evaluate(engine, { ...base, plan });
  const fooled = new Map<number, number>();
  const rows = ledger.units.flatMap((unit) => unit.rows);
  for (const row of rows) {
    // What has fallen at a smaller epsilon is not attacked again; at its own, other attempts may be in the same batch.
    expect(fooled.get(row.sample) ?? row.epsilon).toBe(row.epsilon);
    expect(row.success).toBe(row.labelAfter !== row.labelBefore);
    expect(row.distance).toBeLessThanOrEqual(row.epsilon + 1e-6);
    if (row.success) fooled.set(row.sample, row.epsilon);
  }
  const last = report.attacks.at(-1);
  expect(last).toMatchObject({ epsilon: 0.1, attempts: 3, successRate: { count: fooled.size, total: 45 } });
  expect(report.forwards).toBe(COUNT + rows.length); // noise needs only the judge's forward
  expect(report.backwards).toBe(0);
});

test('restarts never raise robust accuracy', async () => {
  const robustAfter = async (restarts: number) => {
    const plan: PlanEntry[] = [{ attack: 'noise', norm: 'linf', epsilons: [0.1], settings: { restarts } }];
    return (await evaluate(engine, { ...base, plan })).report.attacks[0]?.robustAccuracy.count ?? -1;
  };
  const [one, five, twenty] = [await robustAfter(1), await robustAfter(5), await robustAfter(20)];
  expect(five).toBeLessThan(one);
  expect(twenty).toBeLessThanOrEqual(five);
});

describe('transferred examples', () => {
  const plan: PlanEntry[] = [...pgdPlan([0.051]), { attack: 'mi-fgsm', norm: 'linf', epsilons: [0.051] }];

  test('from the target itself are as strong as the white box', async () => {
    const { report } = await evaluate(engine, { ...base, surrogates: [target], plan });
    expect(report.worstCase[0]?.transferred?.count).toBe(robustCount(0.051, 4));
  });

  test('from surrogates whose mean looks at nothing achieve nothing', async () => {
    const opposite = linearClassifier(
      ROWS.map((row) => row.map((weight) => -weight)),
      [0, 0],
    );
    const { report } = await evaluate(engine, { ...base, surrogates: [target, opposite], plan });
    expect(report.worstCase[0]).toMatchObject({
      transferred: { count: 45 },
      whiteBox: { count: robustCount(0.051, 4) },
    });
    expect(report.attacks[1]).toMatchObject({
      access: 'transfer',
      source: 'surrogates',
      successRate: { count: 0, total: 45 },
    });
  });
});

describe('surrogates that draw random numbers', () => {
  const noisy = randomised(target, 'noisy', SIZE, (images, random) =>
    tf.add(images, tf.mul(tf.sub(tf.reshape(random, images.shape), tf.scalar(0.5)), tf.scalar(0.2))),
  );
  test.each([
    { what: 'alone', surrogates: [noisy] },
    { what: 'beside another', surrogates: [target, noisy] },
  ])('$what are as strong as the model beneath', async ({ surrogates }) => {
    const plan: PlanEntry[] = [
      { attack: 'mi-fgsm', norm: 'linf', epsilons: [0.051] },
      // All steps: the noise alone may have turned the surrogate.
      {
        attack: 'pgd',
        norm: 'linf',
        epsilons: [0.051],
        settings: { loss: 'margin', keep: 'last' },
        source: 'surrogates',
      },
    ];
    const { report } = await evaluate(engine, { ...base, surrogates, plan });
    for (const { robustAccuracy } of report.attacks) expect(robustAccuracy.count).toBe(robustCount(0.051, 4));
  });
});

test('the same seed gives the same report; masking is not assessed', async () => {
  const plan = defaultPlan([0.03, 0.06]);
  const options = { ...base, surrogates: [linearClassifier(ROWS, [0, 0.1])], plan };
  const first = await evaluate(engine, options);
  const second = await evaluate(engine, options);
  expect(withoutSeconds(second.ledger)).toEqual(withoutSeconds(first.ledger));
  expect(withoutSeconds(second.report)).toEqual(withoutSeconds(first.report));
  expect(JSON.parse(JSON.stringify(first.report))).toEqual(first.report);
  expect(first.report.masking).toBe('not assessed');
});

test('the batch size does not change who falls', async () => {
  const plan = pgdPlan([0.04]);
  const [small, large] = [
    await evaluate(engine, { ...base, batchSize: 7, plan }),
    await evaluate(engine, { ...base, batchSize: 64, plan }),
  ];
  expect(small.report.attacks[0]?.robustAccuracy).toEqual(large.report.attacks[0]?.robustAccuracy);
});

test('an evaluation that is aborted stops, and says how far it was', async () => {
  const controller = new AbortController();
  const seen: number[] = [];
  const run = evaluate(engine, {
    ...base,
    plan: defaultPlan([0.1], { transfer: false }),
    signal: controller.signal,
    onProgress: ({ cell, cells, attempts, attemptsAtMost }) => {
      seen.push(cell);
      expect(cells).toBe(3);
      expect(attempts).toBeLessThanOrEqual(attemptsAtMost);
      if (cell === 1) controller.abort(new Error('enough'));
    },
  });
  await expect(run).rejects.toThrow('enough');
  expect(Math.max(...seen)).toBe(1);
});

describe('an attack cannot cheat', () => {
  const returning = (make: (images: NdArray) => NdArray) =>
    defineAttack({
      name: 'cheat',
      summary: 'returns what it likes',
      access: 'white-box',
      norms: ['linf'],
      settings: z.strictObject({}),
      cost: () => ({ forwards: 0, backwards: 0 }),
      run: async ({ images }) => ({ adversarial: make(images), forwards: [0, 0, 0], backwards: [0, 0, 0] }),
    });
  const job = { target, source: target, norm: linf, epsilon: 0.01, seed: 0, split, indices: [1, 2, 3], batchSize: 4 };

  test('an image outside the ball is brought back and judged again', async () => {
    const attack = returning(({ shape, data }) =>
      float32(data.map((_, i) => (i % SIZE < 2 ? 0 : 1)) as Float32Array, shape),
    );
    const rows = await runAttack({ ...job, engine, attack });
    expect(rows.map(({ sample }) => sample)).toEqual([1, 2, 3]);
    for (const row of rows) {
      expect(row.distance).toBeCloseTo(0.01, 6);
      const fallen = marginOf(split.images, row.sample) > 0 && marginOf(split.images, row.sample) < 0.04;
      expect(row.success).toBe(fallen);
    }
  });

  test('an image that is not a number is an error', async () => {
    const attack = returning(({ shape, data }) =>
      float32(
        (data as Float32Array).map(() => Number.NaN),
        shape,
      ),
    );
    await expect(runAttack({ ...job, engine, attack })).rejects.toMatchObject({
      reason: 'NOT_FINITE',
      field: 'attack',
    });
  });

  test('a model whose logits are not numbers is an error', async () => {
    const broken: Classifier = {
      ...target,
      parameters: { weights: float32(Array(8).fill(Number.NaN), [2, 4]), bias: float32([0, 0], [2]) },
    };
    const run = evaluate(engine, { ...base, target: broken, plan: pgdPlan([0.1]) });
    await expect(run).rejects.toMatchObject({ reason: 'NOT_FINITE', field: 'target' });
  });
});

function withoutSeconds(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, child) => (key === 'seconds' ? undefined : child)));
}
