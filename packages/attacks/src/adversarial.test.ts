import { createEngine, type Engine, readSafetensors, writeSafetensors } from '@jsigr/engine';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AdversarialKeeper, decodeAdversarial, encodeAdversarial } from './adversarial.ts';
import type { NormName } from './norms.ts';
import type { LedgerRow } from './runner.ts';
import { linearClassifier } from './testing/linear.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.dispose());

/** Says 1 where the second of two numbers is the larger one. */
const target = linearClassifier(
  [
    [1, 0],
    [0, 1],
  ],
  [0, 0],
);
/** Three images of class 0. */
const split = { count: 3, images: Uint8Array.of(101, 100, 110, 100, 150, 100), labels: Uint8Array.of(0, 0, 0) };

function rowOf(sample: number, distance: number, change: { success?: boolean; norm?: NormName } = {}): LedgerRow {
  const { success = true, norm = 'linf' } = change;
  const [labelBefore, labelAfter] = [0, success ? 1 : 0];
  const spent = { seed: 0, attempt: 0, forwards: 1, backwards: 1, loss: 0 };
  return { sample, attack: 'pgd', norm, epsilon: 0.2, ...spent, distance, labelBefore, labelAfter, success };
}

const rounded = (keeper: AdversarialKeeper) => keeper.rounded(engine, target, split, { batchSize: 4, seed: 0 });

test('so many are kept for each norm, the nearest first; attempts that failed are not', async () => {
  const keeper = new AdversarialKeeper(2);
  const image = Float32Array.of(0.2, 0.9);
  for (const row of [
    rowOf(0, 0.2),
    rowOf(1, 0.1),
    rowOf(2, 0.15),
    rowOf(0, 0.01, { success: false }),
    rowOf(2, 3, { norm: 'l1' }),
    rowOf(1, 0.1),
  ])
    keeper.add(row, image, {});
  image.fill(0); // the runner's memory is used again
  const kept = await rounded(keeper);
  expect(kept.map(({ norm, sample, distance }) => [norm, sample, distance])).toEqual([
    ['linf', 1, 0.1],
    ['linf', 1, 0.1],
    ['l1', 2, 3],
  ]);
  expect(kept[0]?.image).toEqual(Float32Array.of(0.2, 0.9));
});

test('none are kept unless they are asked for', async () => {
  const keeper = new AdversarialKeeper(0);
  keeper.add(rowOf(0, 0.2), Float32Array.of(0, 1), {});
  expect(await rounded(keeper)).toEqual([]);
});

test('what turned the prediction by less than a level is right again in 8 bits, and that is said', async () => {
  const keeper = new AdversarialKeeper(9);
  keeper.add(rowOf(0, 0.7 / 255), Float32Array.of(100.3 / 255, 100.4 / 255), {}); // rounds to equal numbers: class 0, the first
  keeper.add(rowOf(1, 0.1), Float32Array.of(100 / 255, 120 / 255), {});
  const [near, far] = await rounded(keeper);
  expect([near?.predicted, near?.predictedRounded, [...(near?.rounded ?? [])]]).toEqual([1, 0, [100, 100]]);
  expect([far?.predicted, far?.predictedRounded, [...(far?.rounded ?? [])]]).toEqual([1, 1, [100, 120]]);
  expect([...(far?.original ?? [])]).toEqual([110, 100]);
});

test('the file gives back what was put in', async () => {
  const keeper = new AdversarialKeeper(9);
  keeper.add(rowOf(0, 0.25), Float32Array.of(0.25, 0.5), { steps: 40, restarts: 2 });
  keeper.add(rowOf(0, 0.25), Float32Array.of(0.25, 0.5), { steps: 20 });
  keeper.add(rowOf(2, 1.5, { norm: 'l2' }), Float32Array.of(0, 1), {});
  const all = await rounded(keeper);
  expect(all.map(({ settings }) => settings)).toEqual([{ steps: '40', restarts: '2' }, {}, {}]); // 20 is the default
  expect(decodeAdversarial(encodeAdversarial(all, target.input))).toEqual({ input: [1, 1, 2], all });
  expect(decodeAdversarial(encodeAdversarial([], target.input)).all).toEqual([]);
});

test('a file that says no settings is read still', async () => {
  const keeper = new AdversarialKeeper(9);
  keeper.add(rowOf(0, 0.25), Float32Array.of(0.25, 0.5), {});
  const { tensors } = readSafetensors(encodeAdversarial(await rounded(keeper), target.input));
  const file = writeSafetensors(tensors, { cells: JSON.stringify([{ attack: 'pgd', norm: 'linf', epsilon: 0.2 }]) });
  expect(decodeAdversarial(file).all).toMatchObject([{ attack: 'pgd', settings: {}, sample: 0 }]);
});
