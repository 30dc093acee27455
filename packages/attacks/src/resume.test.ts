import { createEngine, type Engine } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { evaluate } from './evaluation.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import { decodeLedger, encodeLedger, type Ledger, mergeLedgers } from './ledger.ts';
import { type AttackLoss, losses } from './losses.ts';
import type { PlanEntry } from './plan.ts';
import type { EvaluationReport } from './report.ts';
import { split, target } from './testing/three-classes.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

const plan: PlanEntry[] = [
  { attack: 'noise', norm: 'linf', epsilons: [0.02, 0.05], settings: { restarts: 2 } },
  { attack: 'pgd', norm: 'linf', epsilons: [0.02, 0.05], settings: { steps: 3, restarts: 3 } },
  { attack: 'apgd-t', norm: 'linf', epsilons: [0.05], settings: { steps: 10 } },
  { attack: 'square', norm: 'l2', epsilons: [0.05], settings: { queries: 15 } },
];
const base: EvaluationOptions = {
  target,
  surrogates: [],
  split,
  indices: Array.from({ length: 40 }, (_, i) => i),
  input: [1, 1, 6],
  plan,
  seed: 4,
  batchSize: 8,
};

describe('an evaluation in shards', () => {
  test.each([2, 3, 8])('of %i, their ledgers put together, is the whole', async (count) => {
    const options = { ...base, cascade: true, assessMasking: true };
    const whole = await evaluate(engine, options);
    const ledgers: Ledger[] = [];
    for (let index = 0; index < count; index++) {
      const part = await evaluate(engine, { ...options, shard: { index, count } });
      // Whoever puts them together looks for masked gradients, once.
      expect(part.report.masking).toBe('not assessed');
      expect(part.report.flags.map(({ name }) => name)).not.toContain('masking-not-assessed');
      ledgers.unshift(part.ledger);
    }
    const units = ledgers.map((ledger) => ledger.units.length);
    expect(units.reduce((sum, each) => sum + each, 0)).toBe(whole.ledger.units.length);
    const merged = await evaluate(engine, { ...options, resume: mergeLedgers(ledgers) });
    expect(withoutSeconds(merged)).toEqual(withoutSeconds(whole));
  });

  test('of another evaluation does not go with them', async () => {
    const one = await evaluate(engine, { ...base, shard: { index: 0, count: 2 } });
    const other = await evaluate(engine, { ...base, seed: 5, shard: { index: 1, count: 2 } });
    expect(() => mergeLedgers([one.ledger, other.ledger])).toThrow(
      /different models, datasets, plans, losses, seeds or engines/,
    );
  });
});

describe('an evaluation that was interrupted', () => {
  test.each([1, 7, 20])('after %i units goes on from its ledger to the same result', async (stop) => {
    const whole = await evaluate(engine, base);
    const controller = new AbortController();
    let files = encodeLedger(whole.ledger);
    const interrupted = evaluate(engine, {
      ...base,
      signal: controller.signal,
      onLedger: (ledger) => {
        files = encodeLedger(ledger);
        if (ledger.units.length === stop) controller.abort(new Error('killed'));
      },
    });
    await expect(interrupted).rejects.toThrow('killed');
    const resume = decodeLedger(files);
    expect(resume.units.length).toBe(stop);
    let made = 0;
    const resumed = await evaluate(engine, { ...base, resume, onLedger: () => void made++ });
    expect(made).toBe(whole.ledger.units.length - stop);
    expect(tensorsOf(resumed.ledger)).toEqual(tensorsOf(whole.ledger));
    expect(withoutSeconds(resumed.report)).toEqual(withoutSeconds(whole.report));
  });

  test('goes on on a machine that rounds otherwise', async () => {
    const whole = await evaluate(engine, base);
    const half = { ...whole.ledger, units: whole.ledger.units.slice(0, 9) };
    const { threads } = engine.info;
    const another = await createEngine({ threads: threads === 1 ? 2 : 1, blockSize: 1 });
    const resumed = await evaluate(another, { ...base, resume: half });
    await another.dispose();
    expect(another.info).not.toEqual(engine.info);
    const successes = ({ units }: Ledger) => units.map(({ rows }) => rows.map(({ success }) => success));
    expect(successes(resumed.ledger)).toEqual(successes(whole.ledger));
  });

  test('keeps what its ledger says of clean samples, and of a sample that it got wrong nothing else', async () => {
    const whole = await evaluate(engine, base);
    const [first, ...rest] = whole.ledger.clean;
    if (!first) throw new Error('no samples');
    const clean = [{ ...first, prediction: (first.label + 1) % 3 }, ...rest];
    const { report } = await evaluate(engine, { ...base, resume: { ...whole.ledger, clean } });
    expect(report.clean.count).toBe(whole.report.clean.count - 1);
  });

  test('does not go on as another one', async () => {
    const { ledger } = await evaluate(engine, base);
    const labels = split.labels.with(39, ((split.labels[39] ?? 0) + 1) % 3) as Uint8Array<ArrayBuffer>;
    const images = split.images.with(7, 1) as Uint8Array<ArrayBuffer>;
    for (const change of [
      { seed: 5 },
      { batchSize: 4 },
      { plan: plan.slice(1) },
      { indices: [0, 1] },
      { split: { ...split, labels } },
      { split: { ...split, images } },
      { loss: losses.margin },
      { budget: { backwards: 100 } },
    ])
      await expect(evaluate(engine, { ...base, ...change, resume: ledger })).rejects.toMatchObject({
        reason: 'LEDGER_MISMATCH',
        field: 'resume',
      });
  });
});

test('a ledger comes back from its files as it was; a damaged one is refused by name', async () => {
  const { ledger } = await evaluate(engine, base);
  const files = encodeLedger(ledger);
  expect(decodeLedger(files)).toEqual(ledger);
  const text = new TextEncoder().encode('{"version":1}');
  expect(() => decodeLedger({ ...files, 'manifest.json': text })).toThrow('manifest.json: is not that of a ledger');
  const { 'ledger.safetensors': _, ...rest } = files;
  expect(() => decodeLedger(rest)).toThrow('ledger.safetensors: is missing');
  const manifest = JSON.parse(new TextDecoder().decode(files['manifest.json']));
  manifest.units[0].rows = [0, 1e9];
  const wrong = { ...files, 'manifest.json': new TextEncoder().encode(JSON.stringify(manifest)) };
  expect(() => decodeLedger(wrong)).toThrow('units[0]: points outside the ledger');
});

test('shards that are cut between blocks give together exactly what one evaluation gives', async () => {
  const whole = await evaluate(engine, base);
  const shards: { report: EvaluationReport; ledger: Ledger }[] = [];
  for (const [from, to] of [
    [0, 16],
    [16, 24],
    [24, 40],
  ])
    shards.push(await evaluate(engine, { ...base, indices: base.indices.slice(from, to) }));
  const rowsOf = ({ ledger }: { readonly ledger: Ledger }) =>
    ledger.units.flatMap(({ rows }) => rows).map((row) => JSON.stringify(row));
  expect(shards.flatMap(rowsOf).sort()).toEqual(rowsOf(whole).sort());
  const counts = (index: number) => shards.map(({ report }) => report.attacks[index]?.robustAccuracy.count ?? -1);
  whole.report.attacks.forEach(({ robustAccuracy }, index) => {
    expect(counts(index).reduce((a, b) => a + b)).toBe(robustAccuracy.count);
  });
});

test('the order of the samples does not change what becomes of each', async () => {
  const fallen = async (indices: readonly number[]) => {
    const { ledger } = await evaluate(engine, { ...base, indices });
    const rows = ledger.units.flatMap(({ cell, rows: own }) => own.map((row) => ({ cell, ...row })));
    // The attempts that fill a batch are not the same ones.
    return new Set(rows.filter(({ success }) => success).map(({ cell, sample }) => `${cell} ${sample}`));
  };
  expect(await fallen([...base.indices].reverse())).toEqual(await fallen(base.indices));
});

describe('a cascade', () => {
  test('meets only what stands, and ends with the same samples fallen as when each attack meets all', async () => {
    const only = plan.slice(1, 3);
    const all = await evaluate(engine, { ...base, plan: only });
    const cascade = await evaluate(engine, { ...base, plan: only, cascade: true });
    expect(cascade.report.worstCase).toEqual(all.report.worstCase);
    const [, pgd, apgdT] = cascade.report.attacks;
    expect(apgdT?.successRate.total).toBe(pgd?.robustAccuracy.count);
    expect(apgdT?.robustAccuracy.count).toBe(cascade.report.worstCase[1]?.whiteBox?.count);
    expect(cascade.report.forwards).toBeLessThan(all.report.forwards);
  });

  test('does not count what noise turned as attacked', async () => {
    const { report } = await evaluate(engine, { ...base, plan: plan.slice(0, 2), cascade: true });
    expect(report.attacks[2]?.successRate.total).toBe(40);
  });
});

test('the worst case of all attacks is at most what each leaves', async () => {
  const { report } = await evaluate(engine, base);
  for (const { norm, epsilon, whiteBox } of report.worstCase)
    for (const attack of report.attacks.filter((each) => each.norm === norm && each.epsilon === epsilon))
      if (attack.access !== 'control') expect(whiteBox?.count ?? -1).toBeLessThanOrEqual(attack.robustAccuracy.count);
});

test('restarts that run together in a batch find what they find one after the other', async () => {
  const one: PlanEntry[] = [{ attack: 'pgd', norm: 'linf', epsilons: [0.03], settings: { steps: 2, restarts: 6 } }];
  const fallen = async (batchSize: number) => {
    const { ledger } = await evaluate(engine, { ...base, plan: one, batchSize, indices: base.indices.slice(0, 8) });
    const rows = ledger.units.flatMap(({ rows: own }) => own);
    return new Set(rows.filter(({ success }) => success).map(({ sample }) => sample));
  };
  expect(await fallen(48)).toEqual(await fallen(1)); // 48: all restarts of all samples at once
});

test('a first attempt starts where it is told to: an earlier adversarial image is found again without a step', async () => {
  const one: PlanEntry[] = [{ attack: 'pgd', norm: 'linf', epsilons: [0.1], settings: { steps: 10, loss: 'margin' } }];
  const known = new Map<number, Float32Array>();
  await evaluate(engine, {
    ...base,
    plan: one,
    onExample: ({ sample, success }, image) => success && known.set(sample, image.slice()),
  });
  expect(known.size).toBeGreaterThan(10);
  const { ledger } = await evaluate(engine, { ...base, plan: one, startOf: (sample) => known.get(sample) });
  const rows = ledger.units.flatMap(({ rows: own }) => own).filter(({ sample }) => known.has(sample));
  for (const row of rows) expect(row).toMatchObject({ success: true, backwards: 1 });
});

test('a sample that has no earlier image starts at its own place, and a ledger with other starts is another one', async () => {
  const settings = { steps: 2, loss: 'margin' };
  const one: PlanEntry[] = [{ attack: 'pgd', norm: 'linf', epsilons: [0.03], settings }];
  const image = Float32Array.from({ length: 6 }, () => 0.5);
  const own = await evaluate(engine, { ...base, plan: one });
  const startOf = (sample: number) => (sample === base.indices[0] ? image : undefined);
  const told = await evaluate(engine, { ...base, plan: one, startOf });
  const others = ({ ledger }: typeof own) =>
    ledger.units.flatMap(({ rows }) => rows).filter(({ sample }) => sample !== base.indices[0]);
  expect(others(told)).toEqual(others(own));
  await expect(evaluate(engine, { ...base, plan: one, startOf, resume: own.ledger })).rejects.toMatchObject({
    reason: 'LEDGER_MISMATCH',
  });
});

test('an own loss is raised instead of the settings’', async () => {
  // It lowers the margin: an attack on it turns nothing that a step the other way would have turned.
  const harmless: AttackLoss = {
    name: 'harmless',
    value: (logits, labels, targets) => tf.neg(losses.margin.value(logits, labels, targets)),
  };
  const one: PlanEntry[] = [{ attack: 'pgd', norm: 'linf', epsilons: [0.05], settings: { randomStart: false } }];
  const { report } = await evaluate(engine, { ...base, plan: one, loss: harmless });
  expect(report.attacks[0]?.successRate.count).toBe(0);
});

function tensorsOf(ledger: Ledger) {
  const { 'seconds.json': _, ...files } = encodeLedger(ledger);
  return files;
}

function withoutSeconds(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, child) => (key === 'seconds' ? undefined : child)));
}
