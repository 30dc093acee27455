import { createEngine, type Engine, readSafetensors } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pgd } from './pgd.ts';
import { randomised } from './randomised.ts';
import { linearClassifier } from './testing/linear.ts';
import { type MatrixOptions, type TransferMatrix, transferMatrix } from './transfer-matrix.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

/** Says 1 where the weighted sum of three numbers is above a half of the weights' sum. */
function above(id: string, weights: readonly number[]): Classifier {
  const half = weights.reduce((a, b) => a + b, 0) / 2;
  return { ...linearClassifier([weights.map(() => 0), weights], [half, 0]), id };
}
const first = above('first', [1, 0, 0]);
const twin = above('twin', [2, 0, 0]);
const other = above('other', [0, 1, 0]);

/** Class 1 in the first two numbers, by 26 levels (0.102); the last sample is of class 1 for `first` and `twin` alone. */
const split = {
  count: 3,
  images: Uint8Array.of(153, 153, 100, 153, 153, 200, 153, 100, 100),
  labels: Uint8Array.of(1, 1, 1),
};

function options(change: Partial<MatrixOptions> = {}): MatrixOptions {
  const plan = [{ attack: 'mi-fgsm', norm: 'linf' as const, epsilons: [0.15], settings: { steps: 2 } }];
  return { models: [first, twin, other], split, indices: [0, 1, 2], input: [1, 1, 3], plan, seed: 1, ...change };
}

const shares = ({ tables }: TransferMatrix, which: 'common' | 'own', size = 3) =>
  Array.from({ length: size }, (_, source) =>
    (tables[0]?.cells ?? [])
      .filter((cell) => cell.source === source)
      .map((cell) => `${cell[which].count}/${cell[which].total}`),
  );

test('examples move between models that look at the same number, and not to one that looks at another', async () => {
  const { matrix } = await transferMatrix(engine, options());
  expect(matrix.models).toEqual(['first', 'twin', 'other']);
  expect(matrix.cleanErrors.map(({ count, total }) => `${count}/${total}`)).toEqual(['0/3', '0/3', '1/3']);
  expect(matrix.commonSamples).toBe(2);
  expect(shares(matrix, 'common')).toEqual([
    ['2/2', '2/2', '0/2'],
    ['2/2', '2/2', '0/2'],
    ['0/2', '0/2', '2/2'],
  ]);
  expect(shares(matrix, 'own')).toEqual([
    ['3/3', '3/3', '0/2'],
    ['3/3', '3/3', '0/2'],
    ['0/3', '0/3', '2/2'],
  ]);
  expect(matrix.tables[0]?.cells[0]?.common).toMatchObject({ value: 1, high: 1 });
});

test('a model that draws random numbers has its row too', async () => {
  const noisy = randomised(twin, 'noisy', 3, (images, random) =>
    tf.add(images, tf.mul(tf.sub(tf.reshape(random, images.shape), tf.scalar(0.5)), tf.scalar(0.01))),
  );
  const { matrix } = await transferMatrix(engine, options({ models: [first, noisy, other] }));
  expect(shares(matrix, 'common')[1]).toEqual(['2/2', '2/2', '0/2']);
});

test('the examples of a source are made once for all targets', async () => {
  const { matrix } = await transferMatrix(engine, options());
  // 3 sources, 3 samples, 2 steps; 3 x 3 judgements of 3 samples, and the clean images.
  expect([matrix.backwards, matrix.forwards]).toEqual([18, 18 + 27 + 9]);
});

test('the file holds what every model said', async () => {
  const { predictions } = await transferMatrix(engine, options());
  const { clean, label, sample, table0 } = readSafetensors(predictions).tensors;
  expect([clean, label, sample].map((tensor) => [...(tensor?.data ?? [])])).toEqual([
    [1, 1, 1, 1, 1, 1, 1, 1, 0],
    [1, 1, 1],
    [0, 1, 2],
  ]);
  expect(table0?.shape).toEqual([3, 3, 3]);
  expect([...(table0?.data ?? [])].slice(0, 9)).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 0]);
});

test('batches change nothing', async () => {
  const strip = ({ seconds: _, batchSize: __, ...rest }: TransferMatrix) => rest;
  const [whole, pieces] = [
    await transferMatrix(engine, options()),
    await transferMatrix(engine, options({ batchSize: 2 })),
  ];
  expect(strip(pieces.matrix)).toEqual(strip(whole.matrix));
  expect(pieces.predictions).toEqual(whole.predictions);
});

test('no restart makes a target right again', async () => {
  const noise = (restarts: number) =>
    options({ plan: [{ attack: 'noise', norm: 'linf', epsilons: [0.3], settings: { restarts } }] });
  const [once, often] = [await transferMatrix(engine, noise(1)), await transferMatrix(engine, noise(20))];
  const counts = ({ matrix }: { matrix: TransferMatrix }) =>
    (matrix.tables[0]?.cells ?? []).map(({ own }) => own.count);
  counts(often).forEach((count, i) => {
    expect(count).toBeGreaterThanOrEqual(counts(once)[i] ?? 0);
  });
  expect(Math.max(...counts(often))).toBeGreaterThan(0);
  // Noise looks at no model: one row says it all.
  expect(counts(often)).toHaveLength(3);
});

test('says of an attack that stops early that its examples transfer less', async () => {
  const flags = async (settings: object) => {
    const plan = [{ attack: pgd.name, norm: 'linf' as const, epsilons: [0.1], settings: { steps: 2, ...settings } }];
    return (await transferMatrix(engine, options({ plan }))).matrix.flags;
  };
  expect(await flags({})).toEqual([expect.stringContaining('pgd stops where it has fooled its source')]);
  expect(await flags({ keep: 'last' })).toEqual([]);
});

test.each([
  { what: 'one model', change: { models: [first] }, message: 'models: 1 given, 2 to 16 allowed' },
  {
    what: 'models of other images',
    change: { models: [first, { ...other, input: [1, 3, 1] as const }] },
    message: /^models\[1\]: other takes 1x3x1 images/,
  },
  { what: 'an empty plan', change: { plan: [] }, message: /no attack is planned/ },
])('$what is refused', async ({ change, message }) => {
  await expect(transferMatrix(engine, options(change))).rejects.toThrow(message);
});
