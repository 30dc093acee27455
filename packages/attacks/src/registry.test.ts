import { createEngine, type Engine, normal } from '@jsigr/engine';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Attack } from './attack.ts';
import { evaluate } from './evaluation.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import { normNamed } from './norms.ts';
import { attacks } from './registry.ts';
import { greySplit, linearClassifier } from './testing/linear.ts';

// What every attack owes as part of an evaluation, whoever adds it: generated over the registry.

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

const SIZE = 16;
const COUNT = 16;
const rows = [0, 1, 2].map((k) => [...normal({ seed: 4, stream: 'test.rows', sample: k }, SIZE)]);
const target = linearClassifier(rows, [0, 0, 0], [4, 4, 1]);
const split = (() => {
  const grey = greySplit(COUNT, SIZE, 9);
  const labels = Uint8Array.from({ length: COUNT }, (_, i) => {
    const image = grey.images.subarray(i * SIZE, (i + 1) * SIZE);
    const logits = rows.map((row) => row.reduce((sum, weight, j) => sum + weight * (image[j] ?? 0), 0));
    return logits.indexOf(Math.max(...logits));
  });
  return { ...grey, labels };
})();
const base: Omit<EvaluationOptions, 'plan'> = {
  target,
  surrogates: [target],
  split,
  indices: Array.from({ length: COUNT }, (_, i) => i),
  input: [4, 4, 1],
  seed: 3,
  batchSize: 16,
};

const everyAttackAndNorm = Object.values(attacks).flatMap((attack) =>
  attack.norms.map((norm) => ({ attack, norm: normNamed(norm) })),
);

/** Enough to succeed on a linear model, and no more. */
const brief: Readonly<Record<string, object>> = {
  cw: { steps: 60, searches: 4, learningRate: 0.05, weight: 1 },
  'hop-skip-jump': { queries: 1000 },
  square: { queries: 1000 },
  transfer: { recipe: 'mi+di+si' },
};

async function robust(attack: Attack, norm: string, epsilons: readonly number[], settings: object = {}) {
  const plan = [
    { attack: attack.name, norm: normNamed(norm).name, epsilons, settings: { ...brief[attack.name], ...settings } },
  ];
  const { report, ledger } = await evaluate(engine, { ...base, plan });
  return { counts: report.attacks.map(({ robustAccuracy }) => robustAccuracy.count), ledger };
}

describe.each(everyAttackAndNorm)('$attack.name in $norm.name', ({ attack, norm }) => {
  const most = norm.diameter(SIZE);

  test('leaves the clean accuracy at epsilon 0 and never more at a larger one', async () => {
    const { counts, ledger } = await robust(attack, norm.name, [0, 0.02 * most, 0.1 * most]);
    expect(counts[0]).toBe(COUNT);
    expect([...counts].sort((a, b) => b - a)).toEqual(counts);
    for (const row of ledger.units.flatMap((unit) => unit.rows))
      expect(row.distance).toBeLessThanOrEqual(row.epsilon * (1 + 1e-5) + 1e-6);
  });

  test.runIf(attack.access !== 'control')('leaves nothing when epsilon is very large', async () => {
    expect((await robust(attack, norm.name, [most / 2])).counts).toEqual([0]);
  });

  test.runIf('restarts' in attack.settings.shape)('does not leave more with more restarts', async () => {
    const few = attack.name === 'square' ? { queries: 5 } : {};
    const after = async (restarts: number) =>
      (await robust(attack, norm.name, [0.04 * most], { ...few, restarts })).counts[0] ?? -1;
    expect(await after(3)).toBeLessThanOrEqual(await after(1));
  });
});
