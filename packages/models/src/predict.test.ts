import { createEngine, type Engine, float32, type NdArray, uniform } from '@jsigr/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listArchitectures } from './architectures/registry.ts';
import { createClassifier } from './create-classifier.ts';
import { ensemble } from './ensemble.ts';
import { ACTIVATION_NAMES } from './layers.ts';
import { initialParameters, type ModelSpec } from './model-spec.ts';
import { accuracy, argmax, predict } from './predict.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

const TINY = { input: [8, 8, 1] as const, classes: 3 };
const images = (count: number, channels = 1) =>
  float32(uniform({ seed: 1, stream: 'test' }, count * 64 * channels), [count, 8, 8, channels]);

const fresh = (spec: ModelSpec, id = spec.architecture) => createClassifier(spec, initialParameters(spec, 3), id);

const networks = listArchitectures().flatMap(({ name }) =>
  ACTIVATION_NAMES.map((activation) => ({ name, activation })),
);

describe('predict', () => {
  it.each(networks)('gives finite, differing logits for $name with $activation', async ({ name, activation }) => {
    const classifier = fresh({ architecture: name, input: [9, 8, 3], classes: 4, activation });
    const random = float32(uniform({ seed: 1, stream: 'test' }, 2 * 9 * 8 * 3), [2, 9, 8, 3]);
    const { logits } = await predict(engine, classifier, random);
    expect(logits.shape).toEqual([2, 4]);
    expect([...logits.data].every(Number.isFinite)).toBe(true);
    expect(logits.data.slice(0, 4)).not.toEqual(logits.data.slice(4));
  });

  it('gives the same logits for a padded batch, and batch by batch', async () => {
    const classifier = fresh({ architecture: 'lenet', ...TINY });
    const whole = await predict(engine, classifier, images(11), { batchSize: 16 });
    const pieces = await predict(engine, classifier, images(11), { batchSize: 4 });
    for (const [index, value] of whole.logits.data.entries()) expect(pieces.logits.data[index]).toBeCloseTo(value, 5);
  });

  it('is the logit bias where all weights are zero', async () => {
    const spec = { architecture: 'mlp', ...TINY };
    const zero = Object.fromEntries(
      Object.entries(initialParameters(spec, 1)).map(([name, { shape, data }]) => [
        name,
        float32(new Float32Array(data.length), shape),
      ]),
    );
    const classifier = createClassifier(spec, { ...zero, 'logits.bias': float32([1, -2, 0.5], [3]) }, 'zero');
    expect([...(await predict(engine, classifier, images(1))).logits.data]).toEqual([1, -2, 0.5]);
  });

  it('normalises inside the network: mean 0.5 and deviation 0.25 of 0.75 is 1', async () => {
    const ones = (value: number) => float32(new Float32Array(64).fill(value), [1, 8, 8, 1]);
    const spec = { architecture: 'lenet', ...TINY };
    const normalised = fresh({ ...spec, normalization: { mean: 0.5, deviation: 0.25 } });
    expect((await predict(engine, normalised, ones(0.75))).logits).toEqual(
      (await predict(engine, fresh(spec), ones(1))).logits,
    );
  });

  it('refuses images of another shape', async () => {
    await expect(predict(engine, fresh({ architecture: 'lenet', ...TINY }), images(2, 3))).rejects.toThrow(
      'images are float32 [2,8,8,3]; lenet takes float32 [count, 8,8,1]',
    );
  });
});

describe('an ensemble', () => {
  it('has the mean of the logits and a stable forward function', async () => {
    const members = [fresh({ architecture: 'lenet', ...TINY }), fresh({ architecture: 'mlp', ...TINY })];
    const both = ensemble(members, 'both');
    expect(ensemble(members, 'again').forward).toBe(both.forward);
    expect(ensemble(members.toReversed(), 'reversed').forward).not.toBe(both.forward);
    const logits = await Promise.all(
      [...members, both].map(async (each) => (await predict(engine, each, images(2))).logits.data),
    );
    for (const [index, value] of (logits[2] ?? []).entries())
      expect(value).toBeCloseTo(((logits[0]?.[index] ?? 0) + (logits[1]?.[index] ?? 0)) / 2, 5);
  });

  it('needs members that agree', () => {
    expect(() => ensemble([], 'none')).toThrow(/at least one member/);
    expect(() =>
      ensemble([fresh({ architecture: 'mlp', ...TINY }), fresh({ architecture: 'mlp', ...TINY, classes: 4 })], 'x'),
    ).toThrow(/mlp takes 8x8x1 images and 4 classes, mlp takes 8x8x1 and 3/);
  });
});

describe('accuracy', () => {
  // The logits are the first three pixels, so that the brightest of them is the class.
  const pixels = createClassifier({ architecture: 'mlp', ...TINY }, passThrough(), 'pixels');
  const brightest = (index: number) => Uint8Array.from({ length: 64 }, (_, i) => (i === index ? 255 : 10));

  it('is the fraction of labels with the highest logit', async () => {
    const split = {
      count: 3,
      images: Uint8Array.from([0, 1, 2].flatMap((i) => [...brightest(i)])),
      labels: Uint8Array.of(0, 1, 1),
    };
    expect(await accuracy(engine, pixels, split)).toBeCloseTo(2 / 3, 12);
  });

  it('refuses an empty or inconsistent set', async () => {
    const broken = { count: 2, images: new Uint8Array(64), labels: Uint8Array.of(0) };
    await expect(accuracy(engine, pixels, broken)).rejects.toThrow(/64 intensities and 1 labels are not 2 images/);
  });
});

describe('argmax', () => {
  it.each([
    { numbers: [1, 3, 2], best: 1 },
    { numbers: [2, 2], best: 0 },
    { numbers: [1, Number.NaN], best: -1 },
    { numbers: [Number.POSITIVE_INFINITY, 1], best: -1 },
  ])('of $numbers is $best', ({ numbers, best }) => {
    expect(argmax(Float32Array.from(numbers))).toBe(best);
  });
});

/** An mlp whose first three units carry the first three pixels through all layers. */
function passThrough(): Record<string, NdArray> {
  const initial = initialParameters({ architecture: 'mlp', ...TINY }, 1);
  return Object.fromEntries(
    Object.entries(initial).map(([name, { shape }]) => {
      const [rows = 0, columns = 0] = shape;
      const data = new Float32Array(rows * (shape.length === 2 ? columns : 1));
      if (shape.length === 2) for (let i = 0; i < 3; i++) data[i * columns + i] = 1;
      return [name, float32(data, shape)];
    }),
  );
}
