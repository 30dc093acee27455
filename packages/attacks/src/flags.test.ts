import { createEngine, type Engine } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { evaluate } from './evaluation.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import { type AttackLoss, losses } from './losses.ts';
import type { PlanEntry } from './plan.ts';
import { randomised } from './randomised.ts';
import { passesOf } from './runner.ts';
import { linearClassifier } from './testing/linear.ts';
import { ROWS, split, target } from './testing/three-classes.ts';

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
  plan: [],
  seed: 4,
  batchSize: 8,
};

const smoke: PlanEntry[] = [{ attack: 'pgd', norm: 'linf', epsilons: [0.05], settings: { steps: 5, loss: 'margin' } }];

test('a model that gives probabilities is attacked by their logarithms: as strongly as by its logits', async () => {
  const forward: typeof target.forward = (parameters, images) => tf.softmax(target.forward(parameters, images));
  const soft = await evaluate(engine, { ...base, target: { ...target, forward }, plan: smoke });
  const plain = await evaluate(engine, { ...base, plan: smoke });
  expect(soft.report.flags.map(({ name }) => name)).toEqual(['probabilities']);
  expect(plain.report.flags).toEqual([]);
  expect(soft.report.attacks[0]?.robustAccuracy).toEqual(plain.report.attacks[0]?.robustAccuracy);
});

test('probabilities that are nothing but zero and one are said to blind attacks', async () => {
  const forward: typeof target.forward = (parameters, images) =>
    tf.softmax(tf.mul(target.forward(parameters, images), tf.scalar(1e5)));
  const { report } = await evaluate(engine, { ...base, target: { ...target, forward }, plan: smoke });
  expect(report.flags.map(({ name }) => name)).toEqual(['probabilities', 'zero-gradients']);
  expect(report.flags[0]?.message).toMatch(
    /as logits; at \d+\.\d % of the samples all but one are below 1e-30, and attacks are blind there: evaluate/,
  );
});

test('samples without a gradient are counted aloud, and the looks at them as passes', async () => {
  // The cross-entropy of logits this far apart is exactly zero in float32; the margin still has its gradient.
  const sure: typeof target = {
    ...target,
    forward: (parameters, images) => tf.mul(target.forward(parameters, images), tf.scalar(1e6)),
  };
  const pgd = (loss: string): PlanEntry[] => [
    { attack: 'pgd', norm: 'linf', epsilons: [0.05], settings: { steps: 5, loss } },
  ];
  const { report, ledger } = await evaluate(engine, { ...base, target: sure, plan: pgd('ce') });
  expect(report.flags).toEqual([
    {
      name: 'zero-gradients',
      message:
        'the gradient of the cross-entropy is zero or no number at 100.0 % of the correctly classified samples: attacks that follow it are blind there',
    },
  ]);
  const passes = ledger.units.flatMap(({ rows }) => rows).reduce((sum, row) => sum + row.backwards, 0);
  expect(report.backwards).toBe(passes + 40);
  expect((await evaluate(engine, { ...base, target: sure, plan: pgd('margin') })).report.flags).toEqual([]);
  const plain: AttackLoss = { name: 'plain', value: (logits) => tf.sum(tf.mul(logits, tf.scalar(0)), 1) };
  const own = await evaluate(engine, { ...base, plan: pgd('margin'), loss: plain });
  expect(own.report.flags[0]?.message).toMatch(/^the gradient of the loss "plain" is zero or no number at 100.0 %/);
});

test('too few classes for the DLR loss are said; the margin is raised, and AutoAttack goes through', async () => {
  const two = linearClassifier(ROWS.slice(0, 2), [0.02, 0]);
  const correct = base.indices.filter((i) => (split.labels[i] ?? 2) < 2);
  const { report } = await evaluate(engine, {
    ...base,
    target: two,
    indices: correct,
    plan: [
      { attack: 'apgd', norm: 'linf', epsilons: [0.3], settings: { loss: 'dlr' } },
      { attack: 'apgd-t', norm: 'linf', epsilons: [0.3] },
      { attack: 'fab-t', norm: 'linf', epsilons: [0.3] },
    ],
  });
  expect(report.flags.map(({ name }) => name)).toEqual(['few-classes']);
  for (const { robustAccuracy, attempts } of report.attacks) expect([robustAccuracy.count, attempts]).toEqual([0, 1]);
});

test.each([
  {
    what: 'towards a target',
    change: { settings: { loss: 'dlr', target: 2 } },
    flags: ['few-classes', 'target-is-label'],
  },
  { what: 'towards none', change: { settings: { loss: 'dlr' } }, flags: [] },
])('of three classes the DLR loss $what: $flags', async ({ change, flags }) => {
  const plan: PlanEntry[] = [{ attack: 'pgd', norm: 'linf', epsilons: [0.3], ...change }];
  const { report } = await evaluate(engine, { ...base, plan });
  expect(report.flags.map(({ name }) => name)).toEqual(flags);
  const own = await evaluate(engine, { ...base, plan, loss: losses.margin });
  expect(own.report.flags.map(({ name }) => name)).not.toContain('few-classes');
});

test('averaging over draws is a no-op for a model that draws nothing; one that does is flagged, and draws the same again', async () => {
  const eot = (value: number): PlanEntry[] => [
    { attack: 'pgd', norm: 'linf', epsilons: [0.05], settings: { steps: 5, eot: value } },
  ];
  const [once, often] = [
    await evaluate(engine, { ...base, plan: eot(1) }),
    await evaluate(engine, { ...base, plan: eot(8) }),
  ];
  expect(often.report.attacks[0]?.robustAccuracy).toEqual(once.report.attacks[0]?.robustAccuracy);
  expect(passes(often)).toEqual(passes(once));
  const noisy = randomised(target, 'noisy', 6, (images, random) =>
    tf.add(images, tf.mul(tf.sub(tf.reshape(random, images.shape), tf.scalar(0.5)), tf.scalar(0.2))),
  );
  const flagged = await evaluate(engine, { ...base, target: noisy, plan: eot(8) });
  expect(flagged.report.flags.map(({ name }) => name)).toEqual(['randomised']);
  // Eight looks at each of five steps at most, and the judge's.
  const [least, most] = [passes(once).backwards, 8 * 5 * 40];
  expect(passes(flagged).backwards).toBeGreaterThan(least);
  expect(passes(flagged).backwards).toBeLessThanOrEqual(most);
  const again = await evaluate(engine, { ...base, target: noisy, plan: eot(8) });
  expect(withoutSeconds(again.report)).toEqual(withoutSeconds(flagged.report));
});

test('samples of the class that an attack steers towards are counted aloud', async () => {
  const settings = { target: 1, loss: 'margin', randomStart: false };
  const plan: PlanEntry[] = [{ attack: 'pgd', norm: 'linf', epsilons: [1], settings }];
  const { report, ledger } = await evaluate(engine, { ...base, plan });
  const ofClass = ledger.clean.filter(({ prediction, label }) => prediction === label && label === 1).length;
  expect(ofClass).toBeGreaterThan(0);
  expect(report.attacks[0]?.robustAccuracy.count).toBe(ofClass);
  expect(report.flags).toEqual([
    {
      name: 'target-is-label',
      message: `${ofClass} samples are of the very class that an attack steers towards: it holds them there, and unless chance turns them they count as robust`,
    },
  ]);
});

test('in a cascade what fell to queries before is no sign of masked gradients: they were never tried on it', async () => {
  const plan: PlanEntry[] = [
    { attack: 'square', norm: 'linf', epsilons: [0.5], settings: { queries: 200 } },
    { attack: 'pgd', norm: 'linf', epsilons: [0.5], settings: { steps: 5, loss: 'margin' } },
  ];
  const { report } = await evaluate(engine, { ...base, plan, cascade: true });
  expect(report.attacks[0]?.robustAccuracy.count).toBeLessThan(20);
  expect(report.flags).toEqual([]);
});

function passes({ ledger }: Awaited<ReturnType<typeof evaluate>>) {
  return passesOf(ledger.units.flatMap(({ rows }) => rows));
}

function withoutSeconds(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, child) => (key === 'seconds' ? undefined : child)));
}
