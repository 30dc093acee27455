import { createEngine, type Engine, float32, int32, runCompiled, scalar } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AttackLoss, oneHot } from './losses.ts';
import { l2, linf, type Norm } from './norms.ts';
import { gradientStepOf } from './step.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

// The published fixture: logits f(x) = min(x, 1), loss + f_y.
const capped = (_: unknown, x: tf.Tensor) => tf.minimum(x, tf.scalar(1));
const labelLogit: AttackLoss = {
  name: 'label-logit',
  value: (logits, labels) => tf.sum(tf.mul(logits, oneHot(logits, labels)), 1),
};
// A targeted attack descends it, at the target.
const targetLogit: AttackLoss = {
  name: 'target-logit',
  value: (logits, _, targets) => tf.neg(tf.sum(tf.mul(logits, oneHot(logits, targets)), 1)),
};

interface Case {
  readonly name: string;
  readonly norm: Norm;
  readonly targeted: boolean;
  readonly x: number[];
  readonly y: number;
  readonly radius: number;
  readonly stepSize: number;
  readonly steps: number;
  readonly bounds: [number, number];
  readonly expected: number[];
}

const unbounded: [number, number] = [-1e6, 1e6];
const cases: Case[] = [
  {
    name: 'two linf steps of 0.1 raise the label’s entry by 0.2',
    ...{ norm: linf, targeted: false, x: [2, -9, 9, 1, -3], y: 4, radius: 0.25, stepSize: 0.1, steps: 2 },
    ...{ bounds: unbounded, expected: [2, -9, 9, 1, -2.8] },
  },
  {
    name: 'the third linf step is cut off at the radius',
    ...{ norm: linf, targeted: false, x: [2, -9, 9, 1, -3], y: 4, radius: 0.25, stepSize: 0.1, steps: 3 },
    ...{ bounds: unbounded, expected: [2, -9, 9, 1, -2.75] },
  },
  {
    name: 'one step is FGSM',
    ...{ norm: linf, targeted: false, x: [2, -9, 9, 1, -3], y: 1, radius: 0.1, stepSize: 0.1, steps: 1 },
    ...{ bounds: unbounded, expected: [2, -8.9, 9, 1, -3] },
  },
  {
    name: 'three targeted l2 steps of 0.1 end at the radius 0.2',
    ...{ norm: l2, targeted: true, x: [9, 10, -6, -1], y: 2, radius: 0.2, stepSize: 0.1, steps: 3 },
    ...{ bounds: unbounded, expected: [9, 10, -6.2, -1] },
  },
  {
    name: 'targeted FGSM within -5..5 brings the rest of the image into the box too',
    ...{ norm: linf, targeted: true, x: [9, 10, -6, -1], y: 3, radius: 0.2, stepSize: 0.2, steps: 1 },
    ...{ bounds: [-5, 5], expected: [5, 5, -5, -1.2] },
  },
];

test.each(cases)('$name', async ({ norm, targeted, x, y, radius, stepSize, steps, bounds, expected }) => {
  const step = gradientStepOf(capped, norm, targeted ? targetLogit : labelLogit);
  const images = float32(x, [1, x.length]);
  const fixed = {
    parameters: { unused: scalar(0) },
    images,
    labels: int32([y], [1]),
    targets: int32([y], [1]),
    epsilon: float32([radius], [1]),
    stepSize: float32([stepSize], [1]),
    lower: scalar(bounds[0]),
    upper: scalar(bounds[1]),
  };
  let points = images;
  for (let i = 0; i < steps; i++) ({ points } = await runCompiled(engine, 'fixture', step, { ...fixed, points }));
  expected.forEach((value, i) => {
    expect(points.data[i]).toBeCloseTo(value, 5);
  });
});
