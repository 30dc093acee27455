import { createEngine, type Engine } from '@jsigr/engine';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { certify } from './smoothing.ts';
import { linearClassifier } from './testing/linear.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

// A linear model: its smoothed classifier is itself, and the true radius is the distance to the boundary, 0.1.
const target = linearClassifier(
  [
    [0, 0],
    [1, 0],
  ],
  [0, -0.5],
);

test('the certified radius of a linear model is a little below its distance to the boundary', async () => {
  const image = Float32Array.of(0.6, 0.3);
  const certificate = await certify(engine, target, image, { sigma: 0.1, seed: 1, sample: 0, estimation: 5000 });
  expect(certificate.prediction).toBe(1);
  expect(certificate.forwards).toBe(5100);
  // P(class 1) = P(N > -1) = 0.8413; 0.001 below, with 5000 draws, about 0.825.
  expect(certificate.probability).toBeGreaterThan(0.81);
  expect(certificate.probability).toBeLessThan(0.8413);
  expect(certificate.radius).toBeGreaterThan(0.085);
  expect(certificate.radius).toBeLessThan(0.1);
});

test('at the boundary it abstains', async () => {
  const certificate = await certify(engine, target, Float32Array.of(0.5, 0.5), {
    sigma: 0.1,
    seed: 1,
    sample: 0,
    estimation: 500,
  });
  expect(certificate).toMatchObject({ prediction: undefined, radius: 0 });
});

test('noise of no size is refused', async () => {
  const options = { sigma: 0, seed: 1, sample: 0 };
  await expect(certify(engine, target, Float32Array.of(0.5, 0.5), options)).rejects.toMatchObject({ field: 'sigma' });
});
