import { createEngine, float32, int32, uniform } from '@jsigr/engine';
import { createClassifier, initialParameters, type ModelSpec } from '@jsigr/models';
import { methodNamed } from '@jsigr/saliency';
import { describe, expect, it } from 'vitest';
import { findObjective } from './objectives/registry.ts';
import { keepOutliers, mapsBy, refreshIsDue } from './saliency-cache.ts';
import { gatherMaps } from './saliency-maps.ts';

describe('maps are made', () => {
  it.each([
    { source: 'self' as const, due: [2, 5, 8] },
    { source: 'teacher' as const, due: [2] },
  ])('before the epochs $due, of $source', ({ source, due }) => {
    const plan = { warmupEpochs: 2, refreshEpochs: 3, stride: 1, method: 'gradient', source };
    expect([...Array(10).keys()].filter((epoch) => refreshIsDue(plan, epoch))).toEqual(due);
  });
});

describe('a stored map', () => {
  it.each([
    { signed: false, bytes: [0, 51, 255], values: [0, 0.2, 1] },
    { signed: true, bytes: [1, 128, 255], values: [-1, 0, 1] },
  ])('is read as $values, signed: $signed', ({ signed, bytes, values }) => {
    const { data, shape } = gatherMaps({ bytes: Uint8Array.from([9, 9, 9, ...bytes]), signed }, [1], 1, 3);
    expect(shape).toEqual([1, 1, 3, 1]);
    for (const [i, value] of values.entries()) expect(data[i]).toBeCloseTo(value, 6);
  });
});

it('maps are averaged over as many noisy copies as the plan says', async () => {
  const engine = await createEngine({ threads: 1 });
  const spec: ModelSpec = { architecture: 'mlp', input: [4, 4, 1], classes: 3 };
  const classifier = createClassifier(spec, initialParameters(spec, 1), 'mlp');
  const images = float32(uniform({ seed: 1, stream: 'images' }, 32), [2, 4, 4, 1]);
  const labels = int32([0, 1], [2]);
  const target = { seed: 5, sampleIndices: [7, 9] };
  for (const samples of [3, undefined]) {
    const plan = { method: 'smoothgrad', ...(samples === undefined ? {} : { samples }) };
    const { data } = await mapsBy(plan)(engine, classifier, images, labels, { stride: 8, ...target });
    const context = { engine, classifier, images, targets: labels, ...target };
    const { map } = await methodNamed('smoothgrad').explain(context, samples === undefined ? {} : { samples });
    const largest = Math.max(...map.data.subarray(0, 16).map(Math.abs));
    for (let i = 0; i < 16; i++) expect(data[i]).toBeCloseTo(Math.abs(map.data[i] ?? 0) / largest, 5);
  }
  expect(findObjective('interpretation').bind({}).saliency).toMatchObject({ method: 'smoothgrad', samples: 50 });
  await engine.dispose();
});

describe('outliers of a map', () => {
  // Mean 1, standard deviation sqrt((1 + 1 + 9 + 9 + 0) / 5) = 2.
  it.each([
    { threshold: 1, expected: [0, 0, 4, -2, 0] },
    { threshold: 0, expected: [2, 0, 4, -2, 0] },
    { threshold: 2, expected: [0, 0, 0, 0, 0] },
  ])('are what lies further than $threshold deviations from the mean', ({ threshold, expected }) => {
    const map = Float32Array.of(2, 0, 4, -2, 1);
    keepOutliers(map, threshold);
    expect([...map]).toEqual(expected);
  });
});
