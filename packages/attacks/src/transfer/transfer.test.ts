import { createEngine, type Engine, float32, type NdArray, uniform } from '@jsigr/engine';
import { type Classifier, ensemble } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asNumber, l1, l2, linf } from '../norms.ts';
import { viewOf } from '../rows.ts';
import { contextOf, imageOf } from '../testing/context.ts';
import { linearClassifier } from '../testing/linear.ts';
import { transfer } from '../transfer.ts';
import { inputTransformations } from './inputs.ts';
import { pieces, recipeOf } from './recipe.ts';
import { spectrum } from './spectrum.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

const SIZE = 8 * 8 * 2;
const numbers = (stream: string, sample: number, size = SIZE) => [...uniform({ seed: 2, stream, sample }, size)];
const plain = linearClassifier(
  [0, 1, 2].map((k) => numbers('test.weights', k).map((u) => 2 * u - 1)),
  [0, 0, 0],
  [8, 8, 2],
);
const context = () =>
  contextOf(
    engine,
    plain,
    [0, 1, 2].map((i) => numbers('test.images', i)),
    [0, 1, 2],
    linf,
    0.1,
  );

function dot(a: NdArray, b: NdArray): number {
  return Array.from(a.data).reduce((sum, value, i) => sum + value * (b.data[i] ?? 0), 0);
}

describe.each(Object.entries(inputTransformations))('%s', (_, piece) => {
  const draws = () => {
    const given = context();
    const view = viewOf(given, [0, 1, 2]);
    return Array.from({ length: 6 }, (_, step) => piece.draw(given, view, step, step % piece.copies));
  };
  const random = (stream: string) =>
    float32(
      [0, 1, 2].flatMap((i) => numbers(stream, i)),
      [3, 8, 8, 2],
    );

  test('takes gradients back by the transpose of what it does to images', async () => {
    // <g, A x - A 0> = <A^T g, x>
    const [x, g] = [random('test.x'), random('test.g')];
    const zero = float32(new Float32Array(x.data.length), x.shape);
    for (const copy of draws()) {
      const [there, origin, back] = [await copy.apply(x), await copy.apply(zero), await copy.back(g)];
      expect(dot(g, there) - dot(g, origin)).toBeCloseTo(dot(back, x), 2);
    }
  });
});

test('the cosine spectrum with factors of one is the image again', async () => {
  const image = float32(numbers('test.x', 0), [1, 8, 8, 2]);
  const ones = float32(image.data.map(() => 1) as Float32Array, image.shape);
  const { data } = await spectrum(engine, image, ones);
  data.forEach((value, i) => {
    expect(value).toBeCloseTo(image.data[i] ?? Number.NaN, 5);
  });
});

test.each(Object.keys(pieces))('%s alone is an attack: it turns a linear model in a large ball', async (name) => {
  const settings = { recipe: name, steps: 3 };
  const { adversarial } = await transfer.run({ ...context(), epsilons: [0.4, 0.4, 0.4] }, settings);
  for (const row of [0, 1, 2]) {
    const image = imageOf(adversarial, row);
    const logits = [0, 1, 2].map((k) =>
      numbers('test.weights', k).reduce((sum, u, i) => sum + (2 * u - 1) * (image[i] ?? 0), 0),
    );
    expect(logits.indexOf(Math.max(...logits))).not.toBe(row);
  }
});

describe.each([linf, l2, l1])('in $name', (norm) => {
  const EPSILON = norm === linf ? 0.05 : norm === l2 ? 0.5 : 5;
  const rows = [0, 1].map((i) => numbers('test.images', i).map((u) => 0.3 + 0.4 * u));
  const given = (source: Classifier) => contextOf(engine, source, rows, [0, 1], norm, EPSILON);
  const crafted = async (source: Classifier, recipe: string) =>
    (await transfer.run(given(source), { recipe, steps: 4, loss: 'margin' })).adversarial.data;
  /** The linear model, which goes dead where a point lies more than three radii from its image. */
  const nearby: Classifier = {
    ...plain,
    parameters: { ...plain.parameters, images: float32(rows.flat(), [2, SIZE]) },
    forward: (parameters, points) => {
      const { images } = parameters as { readonly images: tf.Tensor };
      const far = norm.distance(tf.sub(tf.reshape(points, [2, -1]), images));
      const alive = asNumber(tf.lessEqual(tf.expandDims(far, 1), tf.scalar(3 * EPSILON)));
      return tf.mul(plain.forward(parameters, points), alive);
    },
  };

  test.each(['ni', 'vmi+mi'])('%s looks where the ball reaches', async (recipe) => {
    expect([...(await crafted(nearby, recipe))]).toEqual([...(await crafted(plain, recipe))]);
  });

  test('noise of the spectrum simulation is as long as the radius', () => {
    const context = given(plain);
    const view = viewOf(context, [0, 1]);
    const { ssa } = inputTransformations;
    const zero = float32(new Float32Array(2 * SIZE), view.images.shape);
    return Promise.resolve(ssa.draw(context, view, 0, 0).apply(zero)).then((noise) => {
      const length = norm.lengthOf(imageOf(noise, 0));
      expect(length).toBeGreaterThan(0.3 * EPSILON);
      expect(length).toBeLessThan(6 * EPSILON); // in linf the largest of 128 numbers
    });
  });

  test('a gradient that is no number leaves the others', async () => {
    // sqrt of a black pixel has an infinite slope.
    const broken: Classifier = {
      ...plain,
      forward: (parameters, points) => {
        const first = tf.slice(tf.reshape(points, [2, -1]), [0, 0], [2, 1]);
        return tf.add(plain.forward(parameters, points), tf.sqrt(tf.mul(first, tf.scalar(0))));
      },
    };
    const found = await crafted(broken, 'mi');
    expect(found.every(Number.isFinite)).toBe(true);
    expect(norm.lengthOf(found.map((value, i) => value - (rows.flat()[i] ?? 0)))).toBeGreaterThan(EPSILON / 2);
  });
});

test('translation invariance smooths by a Gaussian whose edge lies three standard deviations away', async () => {
  const weights = [0, 1, 2].map((k) => numbers('test.weights', k).map((u) => 2 * u - 1));
  const grey = Array.from({ length: SIZE }, () => 0.5);
  const given = contextOf(engine, plain, [grey], [0], l2, 0.1);
  const { adversarial } = await transfer.run(given, { recipe: 'ti', steps: 1 });
  const logits = weights.map((row) => row.reduce((sum, w) => sum + w / 2, 0));
  const total = logits.reduce((sum, z) => sum + Math.exp(z), 0);
  const gradient = Array.from({ length: SIZE }, (_, i) =>
    weights.reduce((sum, row, k) => sum + (Math.exp(logits[k] ?? 0) / total - Number(k === 0)) * (row[i] ?? 0), 0),
  );
  const at = (row: number, column: number, channel: number) =>
    row < 0 || row > 7 || column < 0 || column > 7 ? 0 : (gradient[(row * 8 + column) * 2 + channel] ?? 0);
  const bell = [-3, -2, -1, 0, 1, 2, 3].map((x) => Math.exp(-(x ** 2) / 2));
  const smooth = gradient.map((_, i) => {
    const [row, column, channel] = [Math.floor(i / 16), Math.floor(i / 2) % 8, i % 2];
    return bell.reduce(
      (sum, a, y) => sum + bell.reduce((line, b, x) => line + a * b * at(row + y - 3, column + x - 3, channel), 0),
      0,
    );
  });
  const length = Math.hypot(...smooth);
  imageOf(adversarial, 0).forEach((value, i) => {
    expect(value - 0.5).toBeCloseTo((0.1 * (smooth[i] ?? 0)) / length, 4);
  });
});

test.each(['logits', 'probabilities', 'losses'])(
  'surrogates joined by their %s: twice the same is the one',
  async (fusion) => {
    const settings = { recipe: 'mi', steps: 3, fusion };
    const single = await transfer.run(context(), settings);
    const members = [plain, plain];
    const double = await transfer.run({ ...context(), source: ensemble(members, 'twice'), members }, settings);
    double.adversarial.data.forEach((value, i) => {
      expect(value).toBeCloseTo(single.adversarial.data[i] ?? Number.NaN, 4);
    });
  },
);

test('what cannot be cooked is refused by name', () => {
  expect(() => recipeOf('mi+salt')).toThrow(
    'settings.recipe: "salt" is none of mi, ni, di, si, admix, ssa, bsr, ti, vmi; write mi+di+ti',
  );
  expect(() => recipeOf('mi+ni')).toThrow('two kinds of momentum');
  expect(() => recipeOf('di+di')).toThrow('di+di names a piece twice');
  expect(() => transfer.parse({ recipe: 'xx' })).toThrow('settings.recipe: "xx" is none of');
});
