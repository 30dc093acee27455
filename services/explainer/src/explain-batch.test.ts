import { createEngine, type Engine } from '@jsigr/engine';
import { createClassifier, initialParameters, resolveModelSpec } from '@jsigr/models';
import { saliencyMethods } from '@jsigr/saliency';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { explainBatch } from './explain-batch.ts';
import type { ExplainArgument, ExplainResult } from './methods.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

const never = new AbortController().signal;

function classifierOf(input: [number, number, number], architecture = 'lenet') {
  const spec = resolveModelSpec({ architecture, input, classes: 3 });
  return createClassifier(spec, initialParameters(spec, 1), architecture);
}

const small = classifierOf([12, 12, 1]);

function request(change: Partial<ExplainArgument> = {}, size = 144): ExplainArgument {
  const image = Float32Array.from({ length: size }, (_, i) => (i % 7) / 7);
  return { model: 'small', image, method: 'gradient', settings: {}, output: 'logit', seed: 0, ...change };
}

/** A signal that is aborted from its n-th look on. */
function abortedAtLook(n: number): AbortSignal {
  const controller = new AbortController();
  let looks = 0;
  const throwIfAborted = () => {
    if (++looks >= n) throw new Error(`enough at look ${n}`);
  };
  return Object.defineProperty(controller.signal, 'throwIfAborted', { value: throwIfAborted });
}

describe.each(Object.keys(saliencyMethods))('%s', (method) => {
  test.each([1, 2])('ends when the batch is told to: look %i, first while predicting', (look) =>
    expect(explainBatch(engine, small, [request({ method })], abortedAtLook(look))).rejects.toThrow(
      `enough at look ${look}`,
    ),
  );
});

test('an overlay that cannot be drawn fails its own request alone', async () => {
  const twoChannels = classifierOf([6, 6, 2], 'mlp');
  const requests = [request({}, 72), request({ overlayScale: 2 }, 72), request({ target: 1 }, 72)];
  const [first, second, third] = await explainBatch(engine, twoChannels, requests, never);
  expect(first).toMatchObject({ milliseconds: expect.any(Number) });
  expect(second).toMatchObject({ reason: 'INVALID_INPUT', field: 'image' });
  expect(third).toMatchObject({ target: 1 });
});

test('an image whose scores are no numbers fails its own request alone', async () => {
  // Finite pixels that overflow in the first layer.
  const huge = Float32Array.from({ length: 144 }, () => 3e38);
  const requests = [request(), request({ image: huge }), request({ image: huge, target: 1 }), request({ target: 2 })];
  const [first, second, third, fourth] = await explainBatch(engine, small, requests, never);
  for (const failed of [second, third])
    expect(failed).toMatchObject({
      reason: 'NOT_FINITE',
      field: 'image',
      message: expect.stringContaining("the model's scores of it are not all finite numbers"),
    });
  const [alone] = await explainBatch(engine, small, [request()], never);
  expect(first).toMatchObject({ target: (alone as ExplainResult).target });
  expect((first as ExplainResult).attribution.every(Number.isFinite)).toBe(true);
  expect(fourth).toMatchObject({ target: 2 });
});

test('settings that are each in their range, but cost too much together, are refused before anything is computed', async () => {
  // (144 + 1) x 1000 are fine, (1024 + 1) x 1000 are not.
  const settings = { size: 1, orders: 1000 };
  const large = classifierOf([32, 32, 1]);
  const refused = explainBatch(engine, large, [request({ method: 'shapley', settings }, 32 * 32)], abortedAtLook(1));
  await expect(refused).rejects.toMatchObject({
    reason: 'INVALID_SETTING',
    field: 'settings',
    message:
      'settings: 1025000 forward passes to explain one image of 32x32, at most 1000000 allowed (method "shapley")',
  });
  const begun = explainBatch(engine, small, [request({ method: 'shapley', settings })], abortedAtLook(3));
  await expect(begun).rejects.toThrow('enough at look 3');
});

test.each([
  ['occlusion', { size: 1, stride: 1 }],
  ['shapley', { size: 1 }],
  ['integrated-gradients', { steps: 1000 }],
  ['smoothgrad', { samples: 1000 }],
  ['perturbation', { stride: 1 }],
  ['sarfa', { stride: 1 }],
] as const)('%s looks again and again while it computes', async (method, settings) => {
  const large = classifierOf([32, 32, 1]);
  const asked = request({ method, settings }, 32 * 32);
  await expect(explainBatch(engine, large, [asked], abortedAtLook(5))).rejects.toThrow('enough at look 5');
});
