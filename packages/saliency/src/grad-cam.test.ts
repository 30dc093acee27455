import { createEngine, type Engine, float32, int32 } from '@jsigr/engine';
import {
  classifierToOnnx,
  createClassifier,
  importModel,
  initialParameters,
  openModel,
  resolveModelSpec,
} from '@jsigr/models';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gradCam } from './grad-cam.ts';
import { convolutional } from './testing/models.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

// 4 x 4 pixels 0..15, two 3 x 3 convolutions of ones with biases -50 and -75, ReLU, five weights of 1 and three of -1, ReLU (Captum's fixture).
const ones = Array(9).fill(1) as number[];
const weights = [
  [1, 1, 1, 1, 1, -1, -1, -1],
  [0, 0, 0, 0, 0, 0, 0, 0],
];
const context = {
  classifier: convolutional([4, 4, 1], 3, [ones, ones], [-50, -75], weights),
  images: float32(
    Array.from({ length: 16 }, (_, i) => i),
    [1, 4, 4, 1],
  ),
  targets: int32([0], [1]),
};
const explain = (settings?: object) => gradCam.explain({ ...context, engine }, settings);
/** The corners of the map are the four cells of its grid. */
const corners = (data: ArrayLike<number>) => [0, 3, 12, 15].map((i) => data[i]);

describe('Grad-CAM', () => {
  test('of the published fixture, before its ReLU, is [[11.25, 13.5], [20.25, 22.5]]', async () => {
    const { map } = await explain({ maps: 'linear' });
    expect(map.shape).toEqual([1, 4, 4, 1]);
    expect(corners(map.data)).toEqual([11.25, 13.5, 20.25, 22.5]);
    // Between the centres of the cells, at 0.5 and 2.5, it is bilinear.
    expect(map.data[1]).toBeCloseTo(11.25 + (13.5 - 11.25) / 4, 5);
  });

  test('after its ReLU weights what the ReLU lets through', async () => {
    // Maps [0, 4, 31, 40] and [0, 0, 6, 15], mean gradients 1 and -1/2.
    expect(corners((await explain()).map.data)).toEqual([0, 4, 28, 32.5]);
  });

  test.each(['lenet', 'resnet8', 'resnet20'])(
    'explains a %s, and the file that it was exported to just so',
    async (architecture) => {
      const spec = resolveModelSpec({ architecture, input: [12, 12, 3], classes: 4 });
      const classifier = createClassifier(spec, initialParameters(spec, 1), architecture);
      const pixels = Array.from({ length: 2 * 432 }, (_, i) => ((i * 37) % 100) / 100);
      const images = float32(pixels, [2, 12, 12, 3]);
      const { map } = await gradCam.explain({ engine, classifier, images, targets: int32([0, 3], [2]) });
      expect(map.shape).toEqual([2, 12, 12, 1]);
      expect(map.data.every((value) => value >= 0 && Number.isFinite(value))).toBe(true);
      const alone = await gradCam.explain({
        engine,
        classifier,
        images: float32(pixels.slice(432), [1, 12, 12, 3]),
        targets: int32([3], [1]),
      });
      for (const [i, value] of alone.map.data.entries()) expect(value).toBeCloseTo(map.data[144 + i] ?? 0, 5);
      // The file knows nothing of layers, and has its channels first.
      const files = await importModel({ 'model.onnx': classifierToOnnx(classifier) });
      const { classifier: imported } = await openModel(files, 'imported');
      const again = await gradCam.explain({ engine, classifier: imported, images, targets: int32([0, 3], [2]) });
      for (const [i, value] of again.map.data.entries()) expect(value).toBeCloseTo(map.data[i] ?? 0, 4);
    },
  );

  test('is refused of a network without a convolution', async () => {
    const spec = resolveModelSpec({ architecture: 'mlp', input: [4, 4, 1], classes: 2 });
    const classifier = createClassifier(spec, initialParameters(spec, 1), 'mlp');
    await expect(gradCam.explain({ ...context, engine, classifier })).rejects.toMatchObject({
      reason: 'INVALID_INPUT',
      field: 'classifier',
    });
  });
});
