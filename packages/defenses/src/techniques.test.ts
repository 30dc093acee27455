import { createEngine, type Engine, float32, type NdArray, specsOf } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { classWeights, traceTechniques } from './techniques.ts';
import { traced } from './testing.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

async function run(
  inputs: Readonly<Record<string, NdArray>>,
  f: (tensors: Record<string, Tensor>) => Record<string, Tensor>,
): Promise<Record<string, number[]>> {
  const outputs = (await (await engine.compile(traced(f), specsOf(inputs))).run(inputs)) as Record<string, NdArray>;
  return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, [...data]]));
}

const off = { labelSmoothing: 0, gradientClip: 0 };
const labels = float32([1, 0, 0, 0, 0, 1], [2, 3]);

describe('label smoothing', () => {
  it('spreads a part of every label evenly over all classes', async () => {
    const { targets } = traceTechniques({ ...off, labelSmoothing: 0.3 }, undefined);
    const { smooth = [] } = await run({ labels }, (t) => ({ smooth: targets(t.labels as Tensor) }));
    for (const [i, expected] of [0.8, 0.1, 0.1, 0.1, 0.1, 0.8].entries()) expect(smooth[i]).toBeCloseTo(expected, 6);
  });
});

describe('class weights', () => {
  it('weigh each sample by its label', async () => {
    const { weights } = traceTechniques(off, [1, 2, 0.5]);
    expect(await run({ labels }, (t) => ({ each: weights(t.labels as Tensor) as Tensor }))).toEqual({ each: [1, 0.5] });
    expect(traceTechniques(off, undefined).weights({} as Tensor)).toBeUndefined();
  });

  // Of 0, 0, 0, 1 (the image with index 4 is not trained on): 4 / (3 * 3), 4 / (3 * 1), and no image of class 2.
  it.each([
    { setting: 'none', expected: undefined },
    { setting: 'balanced', expected: [4 / 9, 4 / 3, 0] },
    { setting: '1,0.5,2', expected: [1, 0.5, 2] },
  ])('are $expected for $setting', ({ setting, expected }) => {
    expect(classWeights(setting, 3, { labels: Uint8Array.of(0, 0, 0, 1, 2) }, [0, 1, 2, 3])).toEqual(expected);
  });

  it.each([
    { setting: '1,2', message: /2 numbers given, the dataset has 3 classes/ },
    { setting: '0,0,0', message: /one of them must be above 0/ },
  ])('$setting is refused', ({ setting, message }) => {
    expect(() => classWeights(setting, 3, { labels: Uint8Array.of(0) }, [0])).toThrow(message);
  });
});

describe('gradient clipping', () => {
  // (3, 0) and (4) together have the length 5.
  it.each([
    { longest: 1, expected: { a: [0.6, 0], b: [0.8] } },
    { longest: 5, expected: { a: [3, 0], b: [4] } },
    { longest: 0, expected: { a: [3, 0], b: [4] } },
  ])('shortens to $longest', async ({ longest, expected }) => {
    const { clip } = traceTechniques({ ...off, gradientClip: longest }, undefined);
    const clipped = await run({ a: float32([3, 0], [2]), b: float32([4], [1]) }, (gradient) => ({ ...clip(gradient) }));
    for (const [name, values] of Object.entries(expected))
      for (const [i, value] of values.entries()) expect(clipped[name]?.[i]).toBeCloseTo(value, 6);
  });

  it('leaves a gradient of zero alone', async () => {
    const { clip } = traceTechniques({ ...off, gradientClip: 1 }, undefined);
    expect(await run({ a: float32([0, 0], [2]) }, (gradient) => ({ ...clip(gradient) }))).toEqual({ a: [0, 0] });
  });
});
