import { createEngine, type Engine, readSafetensors } from '@jsigr/engine';
import { budgeted } from '@jsigr/models';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeBeyond } from './beyond.ts';
import { evaluate } from './evaluation.ts';
import type { EvaluationOptions, EvaluationProgress } from './evaluation-options.ts';
import { greySplit, linearClassifier } from './testing/linear.ts';
import { queriedLinear } from './testing/queried.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

// Class 1 where the first two pixels are brighter than the last two: the linf distance to the boundary is |margin| / 4, the l2 distance |margin| / 2.
const COUNT = 40;
const target = linearClassifier(
  [
    [0, 0, 0, 0],
    [1, 1, -1, -1],
  ],
  [0, 0],
);
const split = (() => {
  const grey = greySplit(COUNT, 4, 3);
  const labels = Uint8Array.from(
    { length: COUNT },
    (_, i) => Number(marginOf(grey.images, i) > 0) ^ Number(i % 10 === 0),
  );
  return { ...grey, labels };
})();

function marginOf(images: Uint8Array, sample: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = images.subarray(sample * 4, sample * 4 + 4);
  return (a + b - c - d) / 255;
}

const distanceOf = (sample: number, dual: number) => Math.abs(marginOf(split.images, sample)) / dual;
const pgd = { attack: 'pgd', settings: { steps: 20, stepSize: 1, loss: 'margin' } };
const base: EvaluationOptions = {
  target,
  surrogates: [],
  split,
  indices: Array.from({ length: COUNT }, (_, i) => i),
  input: [1, 1, 4],
  plan: [
    { attack: 'noise', norm: 'linf', epsilons: [0.3] },
    { ...pgd, norm: 'linf', epsilons: [0.1, 0.3] },
    { ...pgd, norm: 'l2', epsilons: [0, 0.2] },
  ],
  seed: 2,
  batchSize: 16,
};

describe('smallest radii', () => {
  test('of each attack but controls are those of the closed form, up to the largest of the plan', async () => {
    const progress: EvaluationProgress[] = [];
    const { report, beyond } = await evaluate(engine, {
      ...base,
      smallestEpsilons: 30,
      onProgress: (each) => progress.push(each),
    });
    const searched = base.indices.filter((i) => i % 10 !== 0).slice(0, 30);
    expect(report.smallestEpsilons.map(({ attack, norm, largest }) => [attack, norm, largest])).toEqual([
      ['pgd', 'linf', 0.3],
      ['pgd', 'l2', 0.2],
    ]);
    for (const [i, dual] of [4, 2].entries()) {
      const { turned, quantiles, largest, forwards } = report.smallestEpsilons[i] ?? {};
      const truth = searched.map((sample) => distanceOf(sample, dual)).sort((a, b) => a - b);
      expect(turned).toMatchObject({ count: truth.filter((each) => each <= (largest ?? 0)).length, total: 30 });
      const median = truth[14] ?? 0;
      expect(quantiles?.[1]?.epsilon).toBeGreaterThanOrEqual(median * 0.9999);
      expect(quantiles?.[1]?.epsilon).toBeLessThanOrEqual(median * 1.005 + 2e-3);
      expect(forwards).toBeGreaterThan(0);
    }
    expect(beyond.smallest[0]?.samples.map(({ sample }) => sample)).toEqual(searched);
    const { tensors } = readSafetensors(encodeBeyond(beyond)['smallest-epsilons.safetensors'] ?? new Uint8Array());
    expect(tensors.epsilon?.shape).toEqual([2, 30]);
    expect(Number.isNaN(tensors.epsilon?.data[30 + (beyond.smallest[1]?.samples ?? []).findIndex(isOut)])).toBe(true);
    // The parts of the plan first, then one for each attack that is searched.
    expect([...new Set(progress.map(({ cell, cells }) => `${cell}/${cells}`))]).toEqual([
      ...['0/7', '1/7', '2/7', '4/7'],
      ...['5/7', '6/7'],
    ]);
    expect(await evaluate(engine, base)).toMatchObject({ report: { smallestEpsilons: [] }, beyond: { smallest: [] } });
  });

  test('are not looked for in a shard, and by whoever makes the report of all', async () => {
    const options = { ...base, smallestEpsilons: 8 };
    const { report, ledger } = await evaluate(engine, { ...options, shard: { index: 0, count: 1 } });
    expect(report.smallestEpsilons).toEqual([]);
    const whole = await evaluate(engine, { ...options, resume: ledger, reportOnly: true });
    expect(whole.report.smallestEpsilons).toHaveLength(2);
  });
});

function isOut({ epsilon }: { readonly epsilon: number | undefined }): boolean {
  return epsilon === undefined;
}

describe('certificates', () => {
  const certification = { sigma: 0.25, samples: 12, estimation: 1000 };

  test('of noise that is hardly a number are those of no noise', async () => {
    const least = { sigma: Number.MIN_VALUE, samples: 1, estimation: 100 };
    const { certified } = (await evaluate(engine, { ...base, certification: least })).report;
    expect(certified?.curve[0]?.radius).toBe(0);
    expect(certified?.curve.every(({ radius }) => radius < Number.EPSILON)).toBe(true);
  });

  test('give a curve that cannot rise, below the closed form of a linear model, which smoothing leaves as it is', async () => {
    const { report, beyond } = await evaluate(engine, { ...base, certification });
    const { certified } = report;
    expect(certified).toMatchObject({ sigma: 0.25, draws: 1000, alpha: 0.001, samples: 12, forwards: 12 * 1100 });
    const samples = base.indices.slice(0, 12);
    const counts = certified?.curve.map(({ accuracy }) => accuracy.count) ?? [];
    // The largest radius: 0.25 times the quantile of 0.001^(1/1000), 2.46; in steps of 0.125.
    expect(certified?.curve.map(({ radius }) => radius)).toEqual([0, 0.125, 0.25, 0.375, 0.5]);
    expect(counts).toEqual([...counts].sort((a, b) => b - a));
    expect(counts[0]).toBeGreaterThan(4);
    for (const { radius, accuracy } of certified?.curve ?? [])
      expect(accuracy.count).toBeLessThanOrEqual(
        samples.filter((i) => i % 10 !== 0 && distanceOf(i, 2) >= radius).length,
      );
    const abstained = beyond.certified?.samples.filter(({ prediction }) => prediction === undefined).length;
    expect(certified?.abstained).toBe(abstained);
    const { tensors } = readSafetensors(encodeBeyond(beyond)['certificates.safetensors'] ?? new Uint8Array());
    expect([...(tensors.sample?.data ?? [])]).toEqual(samples);
    expect([...(tensors.prediction?.data ?? [])].filter((each) => each === -1)).toHaveLength(abstained ?? -1);
  });

  test('stop when they are told to', async () => {
    const controller = new AbortController();
    const run = evaluate(engine, {
      ...base,
      certification,
      signal: controller.signal,
      onProgress: ({ attack }) => attack === 'smoothing' && controller.abort(new Error('enough')),
    });
    await expect(run).rejects.toThrow('enough');
  });

  test.each([
    { change: { certification: { ...certification, sigma: 0 } }, field: 'certification.sigma' },
    { change: { certification: { ...certification, alpha: 0.5 } }, field: 'certification.alpha' },
    { change: { certification: { ...certification, estimation: 0 } }, field: 'certification.estimation' },
    { change: { certification: { ...certification, samples: 0 } }, field: 'certification.samples' },
    { change: { smallestEpsilons: 1.5 }, field: 'smallestEpsilons' },
  ])('are refused with $change', async ({ change, field }) => {
    await expect(evaluate(engine, { ...base, ...change })).rejects.toMatchObject({ field });
  });

  test('smallest radii are refused of a black box with a budget', async () => {
    const asked = budgeted(
      queriedLinear(
        [
          [1, 0, 0, 0],
          [0, 1, 0, 0],
        ],
        [0, 0],
      ),
      1000,
    );
    const options = { ...base, target: asked, plan: base.plan.slice(0, 1), smallestEpsilons: 3 };
    await expect(evaluate(engine, options)).rejects.toMatchObject({ field: 'smallestEpsilons' });
  });

  test('are refused of a black box before anything is asked', async () => {
    const asked = queriedLinear(
      [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
      ],
      [0, 0],
    );
    const options = { ...base, target: asked, plan: base.plan.slice(0, 1), certification };
    await expect(evaluate(engine, options)).rejects.toThrow('cannot be certified: it is a black box');
  });
});
