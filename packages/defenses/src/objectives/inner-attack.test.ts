import { createEngine, type Engine, float32, int32 } from '@jsigr/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { divergingExamples } from './diverging.ts';
import { adversarialExamples, warmth } from './inner-attack.ts';
import type { PrepareContext } from './objective.ts';
import { findObjective } from './registry.ts';
import { linear, X } from './testing.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

const contextAt = (epochs: number): PrepareContext => ({
  engine,
  classifier: { id: 'linear', input: [1, 3, 1], classes: 3, parameters: { unused: float32([0], [1]) }, forward },
  images: float32([...X, ...X], [2, 1, 3, 1]),
  labels: int32([0, 1], [2]),
  seed: 1,
  step: 3,
  epochs,
  surrogates: [],
  sampleIndices: [4, 9],
});
const forward: PrepareContext['classifier']['forward'] = (_, images) => linear(images);

const BALL = { epsilon: 0.1, norm: 'linf', epsilonWarmupEpochs: 4 } as const;

describe('the warm-up of the radius', () => {
  it.each([
    { epochs: 0, part: 0 },
    { epochs: 1, part: 0.25 },
    { epochs: 4, part: 1 },
    { epochs: 9, part: 1 },
  ])('is at $part after $epochs of 4 epochs', ({ epochs, part }) => {
    expect(warmth(BALL, epochs)).toBe(part);
    expect(warmth({ ...BALL, epsilonWarmupEpochs: 0 }, epochs)).toBe(1);
  });

  // Label 0 has the gradient signs (+, -, +) of the fixtures: PGD ends in that corner of the ball; a fixed step size shrinks with the ball.
  it.each([
    { epochs: 0, radius: 0 },
    { epochs: 2, radius: 0.05 },
    { epochs: 4, radius: 0.1 },
  ])('leaves a ball of $radius after $epochs epochs', async ({ epochs, radius }) => {
    for (const stepSize of [undefined, 0.1]) {
      const attack = { ...BALL, steps: 5, stepSize, randomStart: true };
      const { data } = await adversarialExamples(attack, contextAt(epochs));
      const moved = X.map((x, i) => (data[i] ?? Number.NaN) - x);
      for (const [i, sign] of [1, -1, 1].entries()) expect(moved[i]).toBeCloseTo(sign * radius, 6);
    }
  });
});

describe('examples of ensemble adversarial training', () => {
  // Signs as above; a random start would leave a corner that an image has not reached with half a radius.
  it.each([
    { settings: {}, moved: 0.1 },
    { settings: { stepSize: 0.05 }, moved: 0.05 },
    { settings: { steps: 5 }, moved: 0.1 },
  ])(
    'are one FGSM step from the image to the edge of the ball, unless other steps are given: $settings',
    async ({ settings, moved }) => {
      const { prepare } = findObjective('ensemble-at').bind({ epsilon: 0.1, ...settings });
      const context = contextAt(0);
      const { images, inputs } = (await prepare?.({ ...context, surrogates: [context.classifier] })) ?? expect.fail();
      for (const [i, sign] of [1, -1, 1].entries())
        expect((images.data[i] ?? Number.NaN) - (X[i] ?? 0)).toBeCloseTo(sign * moved, 6);
      expect(inputs?.clean).toEqual(context.images);
    },
  );
});

describe('examples of TRADES', () => {
  it('raise the divergence within the ball, the same for the same address', async () => {
    const attack = { ...BALL, epsilonWarmupEpochs: 0, steps: 5 };
    const { data } = await divergingExamples(attack, contextAt(0));
    const distances = Array.from(data, (x, i) => Math.abs(x - (X[i % 3] ?? 0)));
    expect(Math.max(...distances)).toBeLessThanOrEqual(0.1 + 1e-6);
    // 5 steps of 0.05 reach a corner, whichever way the noise of the start points.
    for (const distance of distances) expect(distance).toBeCloseTo(0.1, 5);
    expect((await divergingExamples(attack, contextAt(0))).data).toEqual(data);
    expect((await divergingExamples({ ...attack, epsilonWarmupEpochs: 2 }, contextAt(0))).data).toEqual(
      contextAt(0).images.data,
    );
  });
});
