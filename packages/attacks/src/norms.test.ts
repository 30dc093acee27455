import { createEngine, type Engine, float32, type NdArray, runCompiled } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { l1, l2, linf, type Norm, normNamed, norms } from './norms.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

const functions = new Map(
  Object.values(norms).map((norm) => [
    norm,
    ({ delta, epsilon }: { readonly delta: tf.Tensor; readonly epsilon: tf.Tensor }) => ({
      projected: norm.project(delta, epsilon),
      direction: norm.normalize(delta),
      distance: norm.distance(delta),
      dual: norm.dual(delta),
    }),
  ]),
);

async function apply(norm: Norm, rows: number[][], epsilon: number): Promise<Record<string, NdArray>> {
  const delta = float32(rows.flat(), [rows.length, 1, 1, rows[0]?.length ?? 0]);
  const traced = functions.get(norm);
  if (!traced) throw new Error(norm.name);
  return runCompiled(engine, norm.name, traced, {
    delta,
    epsilon: float32(
      rows.map(() => epsilon),
      [rows.length],
    ),
  });
}

function expectClose(array: NdArray | undefined, expected: readonly number[]): void {
  expect([...(array?.data ?? [])].map((value) => Math.round(value * 1e6) / 1e6 + 0)).toEqual(expected);
}

test('linf clips each number, steps by signs and measures the largest', async () => {
  const { projected, direction, distance } = await apply(
    linf,
    [
      [0.3, -0.1, 0],
      [-0.5, 0.2, 0.05],
    ],
    0.2,
  );
  expectClose(projected, [0.2, -0.1, 0, -0.2, 0.2, 0.05]);
  expectClose(direction, [1, -1, 0, -1, 1, 1]);
  expectClose(distance, [0.3, 0.5]);
});

test('l2 scales each sample on its own and leaves what lies inside', async () => {
  const { projected, direction, distance } = await apply(
    l2,
    [
      [0.3, -0.4],
      [0.03, 0.04],
    ],
    0.25,
  );
  expectClose(projected, [0.15, -0.2, 0.03, 0.04]);
  expectClose(direction, [0.6, -0.8, 0.6, 0.8]);
  expectClose(distance, [0.5, 0.05]);
});

test('l1 cuts all numbers by the same amount, moves the largest ones and measures the sum', async () => {
  const { projected, direction, distance } = await apply(
    l1,
    [
      [0.5, -0.3, 0.1, 0],
      [0.1, 0, -0.05, 0.05],
    ],
    0.4,
  );
  // 0.5 - t + 0.3 - t = 0.4 at t = 0.2, which leaves nothing of 0.1.
  expectClose(projected, [0.3, -0.1, 0, 0, 0.1, 0, -0.05, 0.05]);
  expectClose(direction, [1, 0, 0, 0, 1, 0, 0, 0]);
  expectClose(distance, [0.9, 0.2]);
});

test('an l1 step moves a twentieth of the numbers', async () => {
  const gradient = Array.from({ length: 60 }, (_, i) => (i + 1) / 60);
  const { direction } = await apply(l1, [gradient], 1);
  expectClose(direction, [...Array(57).fill(0), ...Array(3).fill(0.333333)]);
});

test.each([
  { norm: linf, dual: 0.7 },
  { norm: l2, dual: 0.5 },
  { norm: l1, dual: 0.4 },
])(
  '$norm.name: a unit perturbation adds at most $dual to a function with gradient (0.3, -0.4)',
  async ({ norm, dual }) => {
    expectClose((await apply(norm, [[0.3, -0.4]], 1)).dual, [dual]);
  },
);

test.each(Object.values(norms))('$name: the length outside a traced function is the same', async (norm) => {
  const { distance } = await apply(norm, [[0.25, -0.5, 0.125]], 1);
  expect(norm.lengthOf([0.25, -0.5, 0.125])).toBeCloseTo(distance?.data[0] ?? -1, 6);
});

test.each(Object.values(norms))('$name: no gradient, no direction; epsilon 0, no perturbation', async (norm) => {
  const { projected, direction } = await apply(norm, [[0, 0]], 0);
  expectClose(projected, [0, 0]);
  expectClose(direction, [0, 0]);
  expectClose((await apply(norm, [[0.3, -0.4]], 0)).projected, [0, 0]);
});

test('l2 normalises a gradient whose squares are too small for float32', async () => {
  expectClose((await apply(l2, [[3e-25, -4e-25]], 1)).direction, [0.6, -0.8]);
});

test.each(Object.values(norms))('$name: samples lie in the unit ball, and an address is a point', (norm) => {
  const length = norm.lengthOf;
  const lengths = Array.from({ length: 200 }, (_, sample) =>
    length(norm.sample({ seed: 7, stream: 'test', sample }, 5)),
  );
  expect(Math.max(...lengths)).toBeLessThanOrEqual(1 + 1e-6);
  // The length of a uniform point of a 5-dimensional ball has mean 5/6 in either norm.
  expect(lengths.reduce((a, b) => a + b) / 200).toBeCloseTo(5 / 6, 1);
  const again = norm.sample({ seed: 7, stream: 'test', sample: 3 }, 5);
  expect(norm.sample({ seed: 7, stream: 'test', sample: 3 }, 5)).toEqual(again);
  expect(norm.sample({ seed: 8, stream: 'test', sample: 3 }, 5)).not.toEqual(again);
});

test('an unknown norm is an error that lists the known ones', () => {
  expect(() => normNamed('l7', 'plan[0].norm')).toThrow('plan[0].norm: "l7" is none of linf, l2, l1');
});
