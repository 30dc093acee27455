import { createEngine, type Engine, float32, int32 } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gaussianMatrix } from './gaussian.ts';
import { insertionDeletion } from './insertion-deletion.ts';
import { formula } from './testing/models.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

// The first logit is ten times the first pixel, the second is 0: nothing else matters.
const classifier = formula(3, ([first]) => tf.mul(first ?? tf.scalar(0), 10));
const curves = (map: readonly number[]) =>
  insertionDeletion(
    { engine, classifier, images: float32([1, 0, 0], [1, 1, 3, 1]), targets: int32([0], [1]) },
    float32(map, [1, 1, 3, 1]),
    { steps: 3 },
  );
const probability = (pixel: number) => 1 / (1 + Math.exp(-10 * pixel));
const shown = probability(1);
const hidden = probability(gaussianMatrix(3, 5)[0] ?? 0);

test('a map that finds the pixel that matters brings the prediction in at once, and out at once', async () => {
  const { insertion, deletion } = await curves([1, 0.2, -0.1]);
  expect(insertion[0]).toBeCloseTo((hidden / 2 + shown + shown + shown / 2) / 3, 5);
  expect(deletion[0]).toBeCloseTo((shown / 2 + hidden + hidden + hidden / 2) / 3, 5);
});

test('one that thinks it the least does so in the last step', async () => {
  const { insertion, deletion } = await curves([0.1, 0.5, 1]);
  expect(insertion[0]).toBeCloseTo((hidden / 2 + hidden + hidden + shown / 2) / 3, 5);
  expect(deletion[0]).toBeCloseTo((shown / 2 + shown + shown + hidden / 2) / 3, 5);
});

test('bad settings and maps of another size are refused', async () => {
  const context = { engine, classifier, images: float32([1, 0, 0], [1, 1, 3, 1]), targets: int32([0], [1]) };
  await expect(insertionDeletion(context, float32([1, 0, 0], [1, 1, 3, 1]), { steps: 0 })).rejects.toThrow('steps');
  await expect(insertionDeletion(context, float32([1, 0], [1, 1, 2, 1]))).rejects.toThrow('map');
});
