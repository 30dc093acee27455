import { createEngine, float32, type NdArray, specsOf, type Tree } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { forwardOf } from './create-classifier.ts';
import { initialParameters, type ModelSpec } from './model-spec.ts';
import { nonLocalMean } from './non-local-mean.ts';

it('a non-local mean weighs every pixel by its dot product', async () => {
  const engine = await createEngine({ threads: 1 });
  // Two pixels a = (1, 2) and b = (3, -1): a.a = 5, a.b = 1, b.b = 10.
  const inputs = { x: float32([1, 2, 3, -1], [1, 1, 2, 2]) };
  const mean = (tree: Tree<Tensor>): Tree<Tensor> => ({ y: nonLocalMean((tree as { x: Tensor }).x) });
  const { y } = (await (await engine.compile(mean, specsOf(inputs))).run(inputs)) as { y: NdArray };
  // (5 a + 1 b) / 2 and (1 a + 10 b) / 2
  expect([...y.data]).toEqual([4, 4.5, 15.5, -4]);
  await engine.dispose();
});

it('fresh denoising blocks change no logit, and are no part of a network without stages', async () => {
  const engine = await createEngine({ threads: 1 });
  const spec: ModelSpec = { architecture: 'resnet20', input: [8, 8, 3], classes: 3 };
  const images = float32(
    Float32Array.from({ length: 384 }, (_, i) => (i % 7) / 7),
    [2, 8, 8, 3],
  );
  const logitsOf = async (given: ModelSpec) => {
    const forward = forwardOf(given);
    const traced = (tree: Tree<Tensor>): Tree<Tensor> => {
      const { parameters, x } = tree as { parameters: Tree<Tensor>; x: Tensor };
      return { logits: forward(parameters, x) };
    };
    const inputs = { parameters: initialParameters(given, 1), x: images };
    return ((await (await engine.compile(traced, specsOf(inputs))).run(inputs)) as { logits: NdArray }).logits;
  };
  const denoised = initialParameters({ ...spec, denoise: true }, 1);
  expect(Object.keys(denoised).filter((name) => name.endsWith('denoise.weight'))).toHaveLength(3);
  expect(await logitsOf({ ...spec, denoise: true })).toEqual(await logitsOf(spec));
  expect(() => initialParameters({ ...spec, architecture: 'vgg11', denoise: true }, 1)).toThrow(
    'denoise is true; vgg11 has no denoising blocks',
  );
  await engine.dispose();
});
