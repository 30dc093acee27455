import { createEngine, type Engine, type NdArray } from '@jsigr/engine';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BatchSource, usualThreadSeconds } from './batch-source.ts';
import { type BatchCompanions, type BatchOrder, type BatchRecipe, makeBatch } from './batches.ts';
import type { TrainingConfig } from './config.ts';
import { bands } from './testing.ts';
import { trainToEnd } from './train.ts';

const { train } = bands(40);
const recipe: BatchRecipe = {
  train,
  input: [8, 8, 1],
  classes: 3,
  seed: 5,
  augmentation: { cropPadding: 1, flip: true, noise: 0.2, cutout: 2 },
};
const companions: BatchCompanions = {
  maps: { bytes: Uint8Array.from({ length: 40 * 64 }, (_, i) => i % 256), signed: false },
  examples: { images: new Map([[3, new Uint8Array(64).fill(9)]]), share: 1 },
};
const none: BatchCompanions = { maps: undefined, examples: undefined };
const order = (from: number, epoch: number, given = companions): BatchOrder => ({
  indices: Uint32Array.from({ length: 40 }, (_, i) => i).subarray(from, from + 8),
  epoch,
  companions: given,
});

let source: BatchSource;
afterEach(() => source?.close());
/** A clock on which everything takes a second. */
const clock = () => {
  let now = 0;
  return () => (now += 1000);
};

describe('batches that another thread makes ahead', () => {
  it('are the same, with their maps and examples, also once these change', async () => {
    source = new BatchSource(recipe, 0, clock());
    const orders = [
      order(0, 0, none),
      order(8, 0, none),
      order(16, 0, none),
      order(0, 1),
      order(8, 1),
      order(0, 2, none),
    ];
    for (const [i, each] of orders.entries()) {
      expect(await source.take(each)).toEqual(makeBatch(recipe, each));
      source.prepare(orders.slice(i + 1, i + 3), 10);
    }
  });

  it('are made here where others are taken than were ordered', async () => {
    source = new BatchSource(recipe, 0, clock());
    await source.take(order(0, 0));
    source.prepare([order(8, 0), order(16, 0)], 10);
    expect(await source.take(order(24, 0))).toEqual(makeBatch(recipe, order(24, 0)));
    source.prepare([order(8, 1)], 10);
    expect(await source.take(order(8, 1))).toEqual(makeBatch(recipe, order(8, 1)));
  });

  it('are those that the thread was asked for, not made here too', async () => {
    source = new BatchSource(recipe, 0, clock());
    const given = order(8, 0);
    await source.take(order(0, 0));
    source.prepare([given], 10);
    // the thread has a copy
    const before = makeBatch(recipe, given);
    const pixels = train.images.slice();
    train.images.fill(0);
    expect(await source.take(given)).toEqual(before);
    train.images.set(pixels);
  });

  it('leave a dataset where it is that was read from a file into a Buffer', async () => {
    const read = { ...train, images: Buffer.from(train.images), labels: Buffer.from(train.labels) };
    source = new BatchSource({ ...recipe, train: read }, 0, clock());
    await source.take(order(0, 0));
    source.prepare([order(8, 0)], 10);
    expect(await source.take(order(8, 0))).toEqual(makeBatch(recipe, order(8, 0)));
    expect(await source.take(order(24, 0))).toEqual(makeBatch(recipe, order(24, 0)));
    expect([read.images.length, read.labels.length]).toEqual([train.images.length, train.labels.length]);
  });

  it('are made here, to the same bits, once the thread has died', async () => {
    source = new BatchSource(recipe, 0, clock());
    await source.take(order(0, 0));
    // A message leaves methods behind: the thread dies of what can be read here.
    class Examples {
      get(index: number) {
        return index === 9 ? new Uint8Array(64).fill(7) : undefined;
      }
    }
    const given: BatchCompanions = { ...none, examples: { images: new Examples() as never, share: 1 } };
    const orders = [order(8, 0, given), order(16, 0, given), order(24, 0, given)];
    for (const [i, each] of orders.entries()) {
      source.prepare(orders.slice(i, i + 2), 10);
      expect(await source.take(each)).toEqual(makeBatch(recipe, each));
    }
  });

  it('need no thread where all that are left would be made sooner than it starts', async () => {
    source = new BatchSource(recipe, 8, clock());
    await source.take(order(0, 0));
    source.prepare([order(8, 0)], 8);
    const pixels = train.images.slice();
    train.images.fill(0);
    const blank = makeBatch(recipe, order(8, 0));
    expect(await source.take(order(8, 0))).toEqual(blank);
    train.images.set(pixels);
  });
});

it('a thread is worth it where a core is free or another device computes', () => {
  const seconds = (device: 'cpu' | 'cuda', threads: number) => usualThreadSeconds({ device, threads }, 4);
  expect([seconds('cpu', 4), seconds('cpu', 3), seconds('cuda', 4)]).toEqual([Number.POSITIVE_INFINITY, 2, 2]);
});

describe('training', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1 });
  });
  afterAll(() => engine.dispose());

  it.each(['jsigr', 'fgsm-rs'])('%s gives the same bits with batches of another thread', async (name) => {
    const config: TrainingConfig = {
      architecture: 'smallcnn',
      objective: { name },
      epochs: 3,
      batchSize: 4,
      seed: 2,
      augmentation: recipe.augmentation,
    };
    const trained = async (batchThreadSeconds: number) => {
      const { parameters, optimizer } = await trainToEnd(engine, config, bands(40), { batchThreadSeconds });
      return [parameters, optimizer].map((arrays: Readonly<Record<string, NdArray>>) =>
        Object.entries(arrays).map(([key, { data }]) => [key, ...data]),
      );
    };
    expect(await trained(0)).toEqual(await trained(Number.POSITIVE_INFINITY));
  });
});
