import { createEngine, type Engine } from '@jsigr/engine';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Attack } from './attack.ts';
import { l1, l2, linf } from './norms.ts';
import { attackNamed } from './registry.ts';
import { curveOf, smallestEpsilons } from './smallest-epsilon.ts';
import { greySplit, linearClassifier } from './testing/linear.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

// Class 1 where the first two pixels are brighter than the last two: the distance to the boundary is |margin| over the dual length of (1, 1, -1, -1).
const ROWS = [
  [0, 0, 0, 0],
  [1, 1, -1, -1],
];
const split = (() => {
  const grey = greySplit(30, 4, 3);
  return { ...grey, labels: Uint8Array.from({ length: 30 }, (_, i) => Number(marginOf(grey.images, i) > 0)) };
})();

function marginOf(images: Uint8Array, sample: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = images.subarray(sample * 4, sample * 4 + 4);
  return (a + b - c - d) / 255;
}

const target = linearClassifier(ROWS, [0, 0]);
const job = {
  target,
  source: target,
  split,
  seed: 1,
  batchSize: 16,
  indices: Array.from({ length: 30 }, (_, i) => i).filter((i) => marginOf(split.images, i) !== 0),
};

test.each([
  { name: 'pgd', settings: { steps: 20, stepSize: 1, loss: 'margin' }, norm: linf, dual: 4, most: 0.3, within: 0.005 },
  { name: 'pgd', settings: { steps: 20, stepSize: 1, loss: 'margin' }, norm: l2, dual: 2, most: 0.5, within: 0.005 },
  { name: 'apgd', settings: { steps: 30, loss: 'margin' }, norm: linf, dual: 4, most: 0.3, within: 0.01 },
  { name: 'fab-t', settings: { steps: 30 }, norm: l2, dual: 2, most: 0.5, within: 0.01 },
  { name: 'deepfool', settings: {}, norm: linf, dual: 4, most: 0.3, within: 0.025 },
  { name: 'cw', settings: { steps: 100, learningRate: 0.02 }, norm: l2, dual: 2, most: 0.5, within: 0.05 },
  { name: 'hop-skip-jump', settings: { queries: 4000 }, norm: l2, dual: 2, most: 0.5, within: 0.05 },
])('$name finds the distances to the boundary in $norm.name', async ({ name, settings, norm, dual, most, within }) => {
  const found = await smallestEpsilons({ ...job, engine, attack: attackNamed(name), settings, norm, most });
  expect(found.map(({ sample }) => sample)).toEqual(job.indices);
  for (const { sample, epsilon } of found) {
    const distance = Math.abs(marginOf(split.images, sample)) / dual;
    if (distance > most) expect(epsilon).toBeUndefined();
    else {
      expect(epsilon).toBeGreaterThanOrEqual(distance * 0.9999);
      expect(epsilon).toBeLessThanOrEqual(distance * (1 + within) + 2e-3);
    }
  }
});

test('an attempt that fails is no bound for those after it', async () => {
  const pgd = attackNamed('pgd');
  const late: Attack = {
    ...pgd,
    attempts: () => 2,
    run: async (context, settings) => {
      const zeros = context.attempts.map(() => 0);
      return context.starts || context.attempts[0] === 1
        ? pgd.run(context, settings)
        : { adversarial: context.images, forwards: zeros, backwards: zeros };
    },
  };
  const settings = { steps: 20, stepSize: 1, loss: 'margin' };
  const found = await smallestEpsilons({ ...job, engine, attack: late, settings, norm: linf, most: 0.3 });
  const reached = found.filter(({ epsilon }) => epsilon !== undefined);
  expect(reached.length).toBeGreaterThan(5);
  for (const { sample, epsilon } of reached)
    expect(epsilon).toBeLessThanOrEqual((Math.abs(marginOf(split.images, sample)) / 4) * 1.005 + 2e-3);
});

test('attacks that mix in other images have them', async () => {
  const settings = { recipe: 'mi+admix', steps: 3, loss: 'margin' };
  const most = 0.3;
  const found = await smallestEpsilons({ ...job, engine, attack: attackNamed('transfer'), settings, norm: linf, most });
  expect(found.some(({ epsilon }) => epsilon !== undefined)).toBe(true);
});

test('samples that even the largest radius does not reach have no epsilon, and the curve counts them as robust', async () => {
  const settings = { steps: 5, loss: 'margin', stepSize: 1 };
  const most = 0.05;
  const found = await smallestEpsilons({ ...job, engine, attack: attackNamed('pgd'), settings, norm: linf, most });
  const beyond = job.indices.filter((i) => Math.abs(marginOf(split.images, i)) / 4 > most).length;
  expect(found.filter(({ epsilon }) => epsilon === undefined).length).toBe(beyond);
  const curve = curveOf(found, job.indices.length, [0, 0.02, 0.05]);
  expect(curve.map(({ robustAccuracy }) => robustAccuracy.count)).toEqual([
    job.indices.length,
    job.indices.filter((i) => Math.abs(marginOf(split.images, i)) / 4 > 0.0201).length,
    beyond,
  ]);
});

test('l1 has no attack that looks for the nearest image, and is halved like the others', async () => {
  const settings = { steps: 60, stepSize: 0.05, loss: 'margin' };
  const found = await smallestEpsilons({ ...job, engine, attack: attackNamed('pgd'), settings, norm: l1, most: 2 });
  for (const { sample, epsilon } of found)
    if (Math.abs(marginOf(split.images, sample)) < 0.3)
      expect(epsilon).toBeLessThanOrEqual(Math.abs(marginOf(split.images, sample)) * 1.02 + 0.005);
});
