import { createEngine, type Engine } from '@jsigr/engine';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AttackError } from './errors.ts';
import { evaluate } from './evaluation.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import type { PlanEntry } from './plan.ts';
import { greySplit, linearClassifier } from './testing/linear.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

const COUNT = 4;
const split = greySplit(COUNT, 4, 3);
const target = linearClassifier(
  [
    [0, 0, 0, 0],
    [1, 1, -1, -1],
  ],
  [0, 0],
);
const base: EvaluationOptions = {
  target,
  surrogates: [],
  split,
  indices: [0, 1, 2, 3],
  input: [1, 1, 4],
  plan: [{ attack: 'pgd', norm: 'linf', epsilons: [0.1] }],
  seed: 9,
};

describe('what is refused', () => {
  const entry = (change: object): PlanEntry[] => [
    { attack: 'pgd', norm: 'linf', epsilons: [0.1], ...change } as PlanEntry,
  ];
  const table: { what: string; change: Partial<EvaluationOptions>; reason: string; field: string }[] = [
    { what: 'an empty plan', change: { plan: [] }, reason: 'INVALID_PLAN', field: 'plan' },
    {
      what: 'an unknown attack',
      change: { plan: entry({ attack: 'agpd' }) },
      reason: 'UNKNOWN_ATTACK',
      field: 'plan[0].attack',
    },
    { what: 'an unknown norm', change: { plan: entry({ norm: 'l3' }) }, reason: 'UNKNOWN_NORM', field: 'plan[0].norm' },
    {
      what: 'no epsilon',
      change: { plan: entry({ epsilons: [] }) },
      reason: 'INVALID_PLAN',
      field: 'plan[0].epsilons',
    },
    {
      what: 'a negative epsilon',
      change: { plan: entry({ epsilons: [0.1, -1] }) },
      reason: 'INVALID_EPSILON',
      field: 'plan[0].epsilons[1]',
    },
    {
      what: 'an epsilon above 1',
      change: { plan: entry({ epsilons: [8] }) },
      reason: 'INVALID_EPSILON',
      field: 'plan[0].epsilons[0]',
    },
    {
      what: 'an epsilon that is no number',
      change: { plan: entry({ epsilons: [Number.NaN] }) },
      reason: 'INVALID_EPSILON',
      field: 'plan[0].epsilons[0]',
    },
    {
      what: 'an absurd setting',
      change: { plan: entry({ settings: { steps: 1e9 } }) },
      reason: 'INVALID_SETTING',
      field: 'plan[0].settings.steps',
    },
    {
      what: 'a target that is no class, before anything is attacked',
      change: { plan: [...base.plan, ...entry({ settings: { target: 2 } })] },
      reason: 'INVALID_SETTING',
      field: 'plan[1].settings.target',
    },
    {
      what: 'transfer without surrogates',
      change: { plan: entry({ attack: 'mi-fgsm' }) },
      reason: 'NO_SURROGATES',
      field: 'plan[0].source',
    },
    { what: 'no samples', change: { indices: [] }, reason: 'INVALID_INPUT', field: 'indices' },
    { what: 'a sample twice', change: { indices: [1, 1] }, reason: 'INVALID_INPUT', field: 'indices' },
    { what: 'a sample beyond the split', change: { indices: [COUNT] }, reason: 'INVALID_INPUT', field: 'indices' },
    {
      what: 'a surrogate for other images',
      change: { surrogates: [linearClassifier([[1], [0]], [0, 0])] },
      reason: 'INVALID_INPUT',
      field: 'surrogates[0]',
    },
    {
      what: 'a classifier with nothing to choose from',
      change: { target: linearClassifier([[0, 0, 0, 0]], [0]), split: { ...split, labels: new Uint8Array(COUNT) } },
      reason: 'INVALID_INPUT',
      field: 'target',
    },
    { what: 'an absurd batch', change: { batchSize: 0 }, reason: 'INVALID_INPUT', field: 'batchSize' },
  ];
  test.each(table)('$what', async ({ change, reason, field }) => {
    const error = await evaluate(engine, { ...base, ...change }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(AttackError);
    expect(error).toMatchObject({ reason, field });
  });
});
