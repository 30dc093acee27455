import { createEngine, type Engine } from '@jsigr/engine';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { randomised } from './randomised.ts';
import { certify } from './smoothing.ts';
import { linearClassifier } from './testing/linear.ts';
import { queriedLinear } from './testing/queried.ts';

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

test.each([
  { what: 'noise of no size', change: { sigma: 0 }, field: 'sigma' },
  { what: 'a certificate that is rather wrong than right', change: { alpha: 0.5 }, field: 'alpha' },
  { what: 'no certainty at all', change: { alpha: 0.6 }, field: 'alpha' },
])('$what is refused', async ({ change, field }) => {
  const options = { sigma: 0.1, seed: 1, sample: 0, ...change };
  await expect(certify(engine, target, Float32Array.of(0.5, 0.5), options)).rejects.toMatchObject({
    reason: 'INVALID_SETTING',
    field,
  });
});

test.each([
  { classifier: queriedLinear([[1], [0]], [0, 0]), why: 'asked cannot be certified: it is a black box: it is one of' },
  { classifier: randomised(target, 'noisy', 2, (images) => images), why: 'it draws random numbers of its own' },
])('$classifier.id is refused by name', async ({ classifier, why }) => {
  const asked = certify(engine, classifier, Float32Array.of(0.5, 0.5), { sigma: 0.1, seed: 1, sample: 0 });
  await expect(asked).rejects.toThrow(why);
  await expect(asked).rejects.toMatchObject({ reason: 'INVALID_INPUT', field: 'classifier' });
});
