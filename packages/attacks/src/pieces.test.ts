import { readFileSync } from 'node:fs';
import { createEngine, type Engine, float32, grad, int32, type NdArray, runCompiled } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkpoints } from './apgd.ts';
import { capabilities, capabilityMarkdown } from './capabilities.ts';
import { dlr, margin, targetedDlr } from './losses.ts';
import { linf } from './norms.ts';
import { checkPlan } from './plan.ts';
import { toPlane } from './plane.ts';
import { profilePlan, profiles } from './profiles.ts';
import { attacks } from './registry.ts';
import { bucketOf } from './rows.ts';
import { shareAt, square } from './square.ts';
import { linearClassifier } from './testing/linear.ts';

const anyTarget = linearClassifier([[1], [2]], [0, 0]);

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

function expectClose(array: NdArray, expected: readonly number[]): void {
  expect(array.data.length).toBe(expected.length);
  expected.forEach((value, i) => {
    expect(array.data[i]).toBeCloseTo(value, 5);
  });
}

test('the checkpoints of APGD with 100 steps are those of the published code', () => {
  // 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, then every 6 steps (arXiv 2003.01690, section 3.1).
  expect([...checkpoints(100)]).toEqual([
    [22, 22],
    [41, 19],
    [57, 16],
    [70, 13],
    [80, 10],
    [87, 7],
    [93, 6],
    [99, 6],
  ]);
});

test('the squares of the square attack shrink as published, stretched to the number of queries', () => {
  // 10,000 queries: halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000.
  expect([0, 10, 11, 51, 201, 9999].map((query) => shareAt(query, 10_000))).toEqual([
    1,
    1,
    1 / 2,
    1 / 4,
    1 / 8,
    1 / 512,
  ]);
  expect([5, 6].map((query) => shareAt(query, 5000))).toEqual([1, 1 / 2]);
});

test('AutoAttack shrinks its squares as for 10,000 queries, as its authors run it', async () => {
  expect(profiles.autoattack?.attacks.at(-1)?.settings).toMatchObject({ queries: 5000, stretch: false });
  // Of 40 queries the later ones are squares of a pixel if the schedule is stretched (0.8 * 64 / 64), else of 5 x 5 (0.8 * 64 / 2).
  const size = 64;
  // Each quarter of the image is to move to another side than its neighbours, so that squares of 5 x 5 still find something.
  const quarters = Array.from({ length: size }, (_, i) => (i % 8 < 4 === i < size / 2 ? 1 : -1));
  const largestMove = async (stretch: boolean) => {
    let before = new Float32Array(size);
    let most = 0;
    const onStep = ({ data }: NdArray, step: number) => {
      const moved = [...data].filter((value, i) => Math.abs(value - (before[i] ?? 0)) > 1e-6).length;
      if (step > 12) most = Math.max(most, moved);
      before = Float32Array.from(data);
    };
    const context = {
      engine,
      source: linearClassifier([quarters.map(() => 0), quarters], [100, 0], [8, 8, 1]),
      images: float32(new Float32Array(size).fill(0.5), [1, 8, 8, 1]),
      labels: int32([0], [1]),
      norm: linf,
      epsilons: [0.1],
      seed: 1,
      attempts: [0],
      sampleIndices: [0],
      onStep,
    };
    await square.run(context, { queries: 40, stretch });
    return most;
  };
  expect(await largestMove(true)).toBe(1);
  expect(await largestMove(false)).toBeGreaterThan(1);
});

test('rows are computed in a size that was halved until it just holds them', () => {
  expect([1, 3, 8, 9, 16, 17, 33, 64].map((count) => bucketOf(count, 64))).toEqual([1, 4, 8, 16, 16, 32, 64, 64]);
  expect([1, 2, 3].map((count) => bucketOf(count, 3))).toEqual([1, 2, 3]);
  expect(bucketOf(5, 4)).toBe(5);
  // Where many steps are to be made, as few rows are filled as it pays to compile.
  expect([1, 3, 9, 17, 19, 33, 37, 61, 64].map((count) => bucketOf(count, 64, 500))).toEqual([
    1, 3, 9, 18, 20, 36, 40, 64, 64,
  ]);
  expect([1, 2, 3, 5].map((count) => bucketOf(count, 3, 500))).toEqual([1, 2, 3, 5]);
});

const lossValues = ({ logits, labels, targets }: Record<'logits' | 'labels' | 'targets', tf.Tensor>) => ({
  dlr: dlr.value(logits, labels, targets),
  targeted: targetedDlr.value(logits, labels, targets),
  margin: margin.value(logits, labels, targets),
});

test('the difference of logits ratio, by hand', async () => {
  // Logits 5 3 2 1: DLR of label 0 is -(5 - 3)/(5 - 2); targeted at class 2 it is -(5 - 2)/(5 - (2 + 1)/2). Label 1 is wrong: (5 - 3)/(5 - 2).
  const inputs = {
    logits: float32([5, 3, 2, 1, 5, 3, 2, 1], [2, 4]),
    labels: int32([0, 1], [2]),
    targets: int32([2, 0], [2]),
  };
  const values = await runCompiled(engine, 'losses', lossValues, inputs);
  expectClose(values.dlr, [-2 / 3, 2 / 3]);
  expectClose(values.targeted, [-3 / 3.5, 2 / 3.5]);
  expectClose(values.margin, [-2, 2]);
});

test('with two classes the ratio is not defined, and is the margin', async () => {
  const inputs = { logits: float32([1.5, 1], [1, 2]), labels: int32([0], [1]), targets: int32([1], [1]) };
  const values = await runCompiled(engine, 'losses', lossValues, inputs);
  expectClose(values.dlr, [-0.5]);
  expectClose(values.targeted, [-0.5]);
});

test('logits of any size: the label is never its own rival, and gradients are numbers', async () => {
  const scale = 1e30;
  const inputs = {
    logits: float32([5 * scale, 3 * scale, 2 * scale, scale, -5 * scale, -3 * scale, -8 * scale, -9 * scale], [2, 4]),
    labels: int32([0, 1], [2]),
    targets: int32([2, 0], [2]),
  };
  const values = await runCompiled(engine, 'losses', lossValues, inputs);
  expectClose(values.dlr, [-2 / 3, -2 / 5]);
  expectClose(values.targeted, [-3 / 3.5, -2 / 5.5]);
  expect([...values.margin.data].map((value) => value / scale)).toEqual([expect.closeTo(-2), expect.closeTo(-2)]);
  const { slope } = await runCompiled(engine, 'margin-slope', marginSlope, inputs);
  expectClose(slope, [-1, 1, 0, 0, 1, -1, 0, 0]);
});

const marginSlope = ({ logits, labels }: Record<'logits' | 'labels' | 'targets', tf.Tensor>) => ({
  slope: grad((z: tf.Tensor) => tf.sum(margin.value(z, labels, labels)))(logits),
});

describe('the smallest perturbation onto a plane', () => {
  const onto = {
    linf: ({ points, weights, rise }: Record<'points' | 'weights' | 'rise', tf.Tensor>) => ({
      delta: toPlane('linf', points, weights, rise),
    }),
    l2: ({ points, weights, rise }: Record<'points' | 'weights' | 'rise', tf.Tensor>) => ({
      delta: toPlane('l2', points, weights, rise),
    }),
  };
  test.each([
    // Free: linf moves all by rise / sum|w| = 0.1, l2 along w by rise / |w|^2 = 0.5 / 25 w.
    { norm: 'linf', points: [0.5, 0.5], rise: 0.7, delta: [0.1, -0.1] },
    { norm: 'l2', points: [0.5, 0.5], rise: 0.5, delta: [0.06, -0.08] },
    // The first number has a room of 0.02 only; the second does the rest, (0.7 - 0.06) / 4 = 0.16.
    { norm: 'linf', points: [0.98, 0.5], rise: 0.7, delta: [0.02, -0.16] },
    // l2: (0.5 - 0.06) / 4 = 0.11.
    { norm: 'l2', points: [0.98, 0.5], rise: 0.5, delta: [0.02, -0.11] },
    { norm: 'linf', points: [0.5, 0.5], rise: -0.7, delta: [-0.1, 0.1] },
    // Out of reach: to the corner of the box.
    { norm: 'l2', points: [0.5, 0.5], rise: 9, delta: [0.5, -0.5] },
  ] as const)('$norm from $points by $rise', async ({ norm, points, rise, delta }) => {
    const inputs = {
      points: float32([...points], [1, 2]),
      weights: float32([3, -4], [1, 2]),
      rise: float32([rise], [1]),
    };
    expectClose((await runCompiled(engine, `plane/${norm}`, onto[norm], inputs)).delta, delta);
  });
});

describe('profiles', () => {
  test.each(Object.keys(profiles))('%s is a valid plan', (name) => {
    const { plan } = profilePlan(name, [8 / 255]);
    expect(checkPlan(plan, 3072, { target: anyTarget, surrogates: 2 }).length).toBe(plan.length);
  });

  test('AutoAttack costs what is published: about 7,800 forwards and 1,910 backwards for an image that resists', () => {
    const { plan, cascade } = profilePlan('autoattack@l2', [0.5]);
    const passes = plan.map(({ attack, settings }) => {
      const known = attacks[attack];
      const { forwards = 0, backwards = 0 } = known?.cost(settings, 10) ?? {};
      const attempts = known?.attempts(settings, 10) ?? 0;
      return [attack, attempts * forwards, attempts * backwards];
    });
    // FAB-T and APGD-T look at the clean image once more in each attempt, for the order of the classes.
    expect(passes).toEqual([
      ['apgd', 101, 101],
      ['apgd-t', 918, 909],
      ['fab-t', 1809, 900],
      ['square', 5001, 0],
    ]);
    expect([cascade, plan[0]?.norm]).toEqual([true, 'l2']);
  });

  test('an unknown one is refused with the known ones, and a norm that an attack does not know by the plan', () => {
    expect(() => profilePlan('quick', [0.1])).toThrow(
      'profile: "quick" is none of smoke, rapid, standard, autoattack, black-box, transfer',
    );
    expect(() => checkPlan(profilePlan('autoattack@l1', [0.1]).plan, 10, { target: anyTarget, surrogates: 0 })).toThrow(
      'attack "apgd" knows linf, l2',
    );
  });
});

test('the table of the README is the one of the registry', () => {
  expect(readFileSync(new URL('../README.md', import.meta.url), 'utf8')).toContain(capabilityMarkdown());
});

test('the capability table has every attack, and says of every setting what it does', () => {
  const table = capabilities();
  expect(table.map(({ name }) => name)).toEqual(Object.keys(attacks));
  for (const { settings } of table) for (const { description } of settings) expect(description).not.toBe('');
  expect(table.find(({ name }) => name === 'square')).toMatchObject({ access: 'score', gradients: false });
  expect(table.filter(({ targeted }) => targeted).map(({ name }) => name)).toEqual([
    'fgsm',
    'bim',
    'pgd',
    'apgd-t',
    'fab-t',
  ]);
});
