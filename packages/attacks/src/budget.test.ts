import { createEngine, type Engine } from '@jsigr/engine';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { evaluate } from './evaluation.ts';
import type { Budget, EvaluationOptions } from './evaluation-options.ts';
import { decodeLedger, encodeLedger, type Ledger, mergeLedgers } from './ledger.ts';
import { passesOf } from './runner.ts';
import { split, target } from './testing/three-classes.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

const base: EvaluationOptions = {
  target,
  surrogates: [],
  split,
  indices: Array.from({ length: 40 }, (_, i) => i),
  input: [1, 1, 6],
  plan: [
    { attack: 'noise', norm: 'linf', epsilons: [0.02] },
    { attack: 'pgd', norm: 'linf', epsilons: [0.02, 0.05], settings: { steps: 10, restarts: 3 } },
    { attack: 'hop-skip-jump', norm: 'l2', epsilons: [0.05], settings: { queries: 400 } },
    { attack: 'square', norm: 'l2', epsilons: [0.05], settings: { queries: 15 } },
  ],
  seed: 4,
  batchSize: 8,
};

function spentBy({ units }: Ledger) {
  return passesOf(units.flatMap(({ rows }) => rows));
}

const withoutSeconds = (value: unknown) =>
  JSON.parse(JSON.stringify(value, (key, child) => (key === 'seconds' ? undefined : child)));

describe('a budget', () => {
  test.each([
    // A step of pgd is 8 backward passes for a block of 8, and the judge looks at 8 images.
    { budget: { backwards: 1403 }, name: 'backwards', most: 1403 + 8 },
    { budget: { forwards: 1555 }, name: 'forwards', most: 1555 + 8 + 8 },
  ] as const)('of $budget ends the work within a step of a block', async ({ budget, name, most }) => {
    const { report, ledger } = await evaluate(engine, { ...base, budget });
    const spent = spentBy(ledger)[name];
    expect(spent).toBeGreaterThanOrEqual(Object.values(budget)[0] ?? 0);
    expect(spent).toBeLessThan(most);
    expect(ledger.units.map(({ short = false }) => short).indexOf(true)).toBe(ledger.units.length - 1);
    const cut = report.attacks[2];
    const never = report.attacks.at(-1);
    expect(cut?.cutShort).toBeGreaterThan(0);
    expect(cut?.cutShort).toBeLessThanOrEqual(8);
    expect(cut).toMatchObject({ attack: 'pgd', epsilon: 0.05 });
    expect(cut?.unattempted).toBeGreaterThan(0); // the blocks after the one that was cut
    expect(never).toMatchObject({ unattempted: 40, cutShort: 0, successRate: { count: 0, total: 40 } });
    const { message } = report.flags.find((flag) => flag.name === 'budget') ?? { message: '' };
    expect(message).toContain(`pgd (linf, 0.05) stopped early on ${cut?.cutShort} samples`);
    expect(message).toContain('square (l2, 0.05) never began on 40');
    expect(message).toContain('an upper bound of that under the whole plan');
  });

  test('that is not spent changes nothing', async () => {
    const [free, { report }] = [
      await evaluate(engine, base),
      await evaluate(engine, { ...base, budget: { forwards: 1e9, backwards: 1e9, seconds: 1e9 } }),
    ];
    expect(withoutSeconds(report)).toEqual(withoutSeconds(free.report));
    expect(report.attacks.every(({ cutShort, unattempted }) => cutShort + unattempted === 0)).toBe(true);
  });

  test('only raises robust accuracy, and less of it raises it more', async () => {
    const robust = async (backwards: number) => {
      const { report } = await evaluate(engine, { ...base, budget: { backwards } });
      return report.worstCase.find(({ norm, epsilon }) => norm === 'linf' && epsilon === 0.05)?.whiteBox?.count ?? -1;
    };
    const [little, more, all] = [await robust(50), await robust(1300), await robust(1e9)];
    expect(little).toBeGreaterThanOrEqual(more);
    expect(more).toBeGreaterThanOrEqual(all);
    expect(little).toBeGreaterThan(all);
  });

  test('ends an attack that asks for classes alone between its questions', async () => {
    const plan = base.plan.slice(2, 3);
    const { ledger } = await evaluate(engine, { ...base, plan, budget: { forwards: 500 }, batchSize: 64 });
    expect(ledger.units).toMatchObject([{ short: true }]);
    // Each question is for all samples: 40 x 400 would be the whole of it.
    expect(spentBy(ledger).forwards).toBeLessThan(5000);
  });

  test('of passes gives the same when the evaluation was killed and goes on, also where it had ended a unit', async () => {
    const budget = { forwards: 1555 };
    const whole = await evaluate(engine, { ...base, budget });
    for (const stop of [1, whole.ledger.units.length - 1, whole.ledger.units.length]) {
      const known = { ...whole.ledger, units: whole.ledger.units.slice(0, stop) };
      const resumed = await evaluate(engine, { ...base, budget, resume: decodeLedger(encodeLedger(known)) });
      expect(withoutSeconds(resumed)).toEqual(withoutSeconds(whole));
    }
  });

  test('of seconds ends after the first unit that takes longer', async () => {
    const { report, ledger } = await evaluate(engine, { ...base, budget: { seconds: 1e-9 } });
    expect(ledger.units.length).toBeLessThanOrEqual(1);
    expect(report.attacks.at(-1)).toMatchObject({ unattempted: 40 });
  });

  test('is divided among shards, whose report attempts nothing beyond what they did', async () => {
    const budget: Budget = { forwards: 901 };
    const plan = base.plan.filter(({ attack }) => attack !== 'hop-skip-jump'); // whose steps are hundreds of questions
    const count = 3;
    const ledgers: Ledger[] = [];
    for (let index = 0; index < count; index++)
      ledgers.push((await evaluate(engine, { ...base, plan, budget, shard: { index, count } })).ledger);
    for (const ledger of ledgers) {
      expect(spentBy(ledger).forwards).toBeGreaterThanOrEqual(300);
      expect(spentBy(ledger).forwards).toBeLessThan(301 + 16);
    }
    let made = 0;
    const resume = mergeLedgers(ledgers);
    const options = { ...base, plan, budget, resume, reportOnly: true, onLedger: () => void made++ };
    const { report, ledger } = await evaluate(engine, options);
    expect(made).toBe(0);
    expect(ledger.units).toEqual(resume.units);
    expect(report.flags.map(({ name }) => name)).toContain('budget');
    expect(report.attacks.at(-1)).toMatchObject({ unattempted: 40 });
  });

  test.each([
    { budget: { seconds: 0 }, field: 'budget.seconds', said: '0 is not a positive number' },
    { budget: { forwards: 1.5 }, field: 'budget.forwards', said: '1.5 is not a positive integer' },
    { budget: { backwards: -1 }, field: 'budget.backwards', said: '-1 is not a positive integer' },
  ])('of $budget is refused', async ({ budget, field, said }) => {
    const asked = evaluate(engine, { ...base, budget });
    await expect(asked).rejects.toMatchObject({ reason: 'INVALID_BUDGET', field });
    await expect(asked).rejects.toThrow(said);
  });
});
