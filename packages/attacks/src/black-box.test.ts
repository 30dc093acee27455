import { createEngine, type Engine, float32 } from '@jsigr/engine';
import { budgeted } from '@jsigr/models';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AdversarialKeeper } from './adversarial.ts';
import { evaluate } from './evaluation.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import { greySplit, linearClassifier } from './testing/linear.ts';
import { queriedLinear } from './testing/queried.ts';
import { transferMatrix } from './transfer-matrix.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

const SIZE = 12;
const rows = [
  Array.from({ length: SIZE }, (_, i) => (i % 2 === 0 ? 1 : -1)),
  Array.from({ length: SIZE }, (_, i) => (i % 3 === 0 ? 1 : -0.5)),
];
const bias = [0, 1];
const open = linearClassifier(rows, bias);
const grey = greySplit(20, SIZE, 4);
/** Labelled by the model itself, so that it is right about all of them. */
const split = {
  ...grey,
  labels: Uint8Array.from({ length: grey.count }, (_, i) => {
    const logit = (k: number) =>
      (rows[k] ?? []).reduce((sum, w, j) => sum + (w * (grey.images[i * SIZE + j] ?? 0)) / 255, bias[k] ?? 0);
    return Number(logit(1) > logit(0));
  }),
};

function options(change: Partial<EvaluationOptions> = {}): EvaluationOptions {
  return {
    target: queriedLinear(rows, bias),
    surrogates: [open],
    split,
    indices: Array.from({ length: 20 }, (_, i) => i),
    input: open.input,
    plan: [
      { attack: 'noise', norm: 'linf', epsilons: [0.1, 0.2] },
      { attack: 'mi-fgsm', norm: 'linf', epsilons: [0.1] },
      { attack: 'square', norm: 'linf', epsilons: [0.1, 0.2], settings: { queries: 30 } },
      { attack: 'hop-skip-jump', norm: 'linf', epsilons: [0.1], settings: { queries: 120 } },
    ],
    seed: 3,
    batchSize: 8,
    ...change,
  };
}

describe('a model that can only be asked', () => {
  test('falls to the same examples as the same model with gradients', async () => {
    const [asked, traced] = [await evaluate(engine, options()), await evaluate(engine, options({ target: open }))];
    const figures = ({ report }: typeof asked) =>
      report.attacks.map(({ attack, epsilon, robustAccuracy, forwards }) => [
        attack,
        epsilon,
        robustAccuracy.count,
        forwards,
      ]);
    expect(figures(asked)).toEqual(figures(traced));
    expect(asked.report.attacks.some(({ successRate }) => successRate.value > 0 && successRate.value < 1)).toBe(true);
    const [row, twin] = [asked, traced].map(({ ledger }) => ledger.units[0]?.rows[0]);
    expect(row?.loss).toBeCloseTo(twin?.loss ?? Number.NaN, 4);
  });

  test('is searched from a real image of another class where random ones all are of its own', async () => {
    // The sum of twelve uniform numbers is above 2 almost always; real images of class 0 are dark.
    const ones = Array.from({ length: SIZE }, () => 1);
    const [sums, limit] = [
      [ones.map(() => 0), ones],
      [0, -2],
    ];
    const images = Uint8Array.from({ length: 10 * SIZE }, (_, i) => (i < 5 * SIZE ? 30 : 120));
    const labels = Uint8Array.from({ length: 10 }, (_, i) => Number(i >= 5));
    const attacked = options({
      target: queriedLinear(sums, limit),
      split: { count: 10, images, labels },
      indices: [5, 6, 7],
      plan: [{ attack: 'hop-skip-jump', norm: 'linf', epsilons: [0.9], settings: { queries: 400 } }],
    });
    const { report } = await evaluate(engine, attacked);
    expect(report.attacks[0]?.robustAccuracy.count).toBe(0);
  });

  test('is asked as often as the ledger says: filling is not sent', async () => {
    const target = queriedLinear(rows, bias);
    const plan = options().plan.filter(({ attack }) => attack !== 'mi-fgsm'); // whose forwards are the surrogate's
    const { report } = await evaluate(engine, options({ target, plan }));
    expect(target.asked()).toBe(report.forwards);
  });

  test('says that it was attacked as a black box, and why', async () => {
    const { report } = await evaluate(engine, options());
    expect(report.flags.map(({ name }) => name)).toContain('black-box');
    expect(report.flags[0]?.message).toMatch(/alone: it is one of a test$/);
  });

  test('that gives probabilities is flagged, and attacked by their logarithms', async () => {
    const target = queriedLinear(rows, bias, ({ data, shape }) => {
      const [count = 0] = shape;
      const shares = Array.from({ length: count }, (_, i) => {
        const odds = Math.exp((data[2 * i + 1] ?? 0) - (data[2 * i] ?? 0));
        return [1 / (1 + odds), odds / (1 + odds)];
      });
      return float32(shares.flat(), shape);
    });
    const { report } = await evaluate(engine, options({ target }));
    expect(report.flags.map(({ name }) => name)).toEqual(expect.arrayContaining(['probabilities', 'black-box']));
    const open = await evaluate(engine, options());
    const left = ({ attacks }: typeof report) => attacks.map(({ robustAccuracy }) => robustAccuracy.count);
    expect(left(report)).toEqual(left(open.report));
  });

  test.each([
    {
      what: 'a gradient attack',
      change: { plan: [{ attack: 'pgd', norm: 'linf' as const, epsilons: [0.1] }] },
      field: 'plan[0].attack',
    },
    { what: 'a look at masking', change: { assessMasking: true }, field: 'assessMasking' },
  ])('$what is refused with the reason', async ({ change, field }) => {
    await expect(evaluate(engine, options(change))).rejects.toMatchObject({
      reason: 'NO_GRADIENTS',
      field,
      message: expect.stringContaining('it is one of a test'),
    });
  });

  test('whose logits are not numbers is one error, after which the ledger is what it was', async () => {
    let answers = 0;
    const target = queriedLinear(rows, bias, (logits) =>
      ++answers > 8 ? float32(logits.data.map(() => Number.NaN) as Float32Array, logits.shape) : logits,
    );
    const kept: number[] = [];
    const work = evaluate(engine, options({ target, onLedger: ({ units }) => void kept.push(units.length) }));
    await expect(work).rejects.toMatchObject({
      reason: 'NOT_FINITE',
      message: expect.stringContaining('a logit of asked is NaN'),
    });
    expect(kept).toEqual(kept.map((_, i) => i + 1));
    expect(kept.length).toBeGreaterThan(0);
  });
});

describe('a budget of queries', () => {
  test.each([60, 150, 400])(
    'of %i is kept to, what was found is judged, and the rest is said to be not attempted',
    async (most) => {
      const raw = queriedLinear(rows, bias);
      const { report, ledger } = await evaluate(engine, options({ target: budgeted(raw, most) }));
      expect(raw.asked()).toBeLessThanOrEqual(most);
      expect(raw.asked()).toBeGreaterThan(most / 2);
      expect(report.flags.map(({ name }) => name)).toContain('budget');
      expect(report.attacks.at(-1)?.unattempted).toBeGreaterThan(0);
      for (const { success, labelBefore, labelAfter } of ledger.units.flatMap((unit) => unit.rows))
        expect(success).toBe(labelBefore !== labelAfter);
    },
  );

  test('that does not even reach for the clean images is refused', async () => {
    const target = budgeted(queriedLinear(rows, bias), 19);
    await expect(evaluate(engine, options({ target }))).rejects.toThrow(
      /maxQueries: the clean samples alone are 20 queries/,
    );
    expect(target.budget?.allows(19)).toBe(true);
  });

  test('that is spent leaves no images that were not judged in 8 bits', async () => {
    const keeper = new AdversarialKeeper(100);
    const target = budgeted(queriedLinear(rows, bias), 150);
    await evaluate(engine, options({ target, onExample: (...made) => keeper.add(...made) }));
    expect(await keeper.rounded(engine, target, split, { batchSize: 8, seed: 0 })).toEqual([]);
  });
});

test('in a transfer matrix it is a target, and no source of attacks that need gradients', async () => {
  const plan = [
    { attack: 'mi-fgsm', norm: 'linf' as const, epsilons: [0.2] },
    { attack: 'noise', norm: 'linf' as const, epsilons: [0.2] },
  ];
  const models = [queriedLinear(rows, bias), open];
  const { matrix } = await transferMatrix(engine, {
    models,
    plan,
    split,
    seed: 3,
    input: open.input,
    indices: options().indices,
  });
  const sources = matrix.tables.map(({ cells }) => [...new Set(cells.map(({ source }) => source))]);
  expect(sources).toEqual([[1], [0]]);
  const [shown] = matrix.tables[0]?.cells ?? [];
  expect(shown).toMatchObject({ source: 1, target: 0, own: { total: 20 } });
  expect(shown?.own.value).toBeGreaterThan(0.5);
  expect(matrix.flags).toEqual([
    'asked has no row under mi-fgsm, which need gradients: it is a black box, it is one of a test',
  ]);
});
