import { readFileSync } from 'node:fs';
import type { Dataset, Split } from '@jsigr/datasets';
import { createEngine, type Engine, float32, type NdArray, uniform } from '@jsigr/engine';
import {
  classifierToOnnx,
  decodeCheckpoint,
  encodeCheckpoint,
  importModel,
  openModel,
  openNetwork,
  predict,
} from '@jsigr/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TrainingConfig } from './config.ts';
import type { FixedNetwork, TrainingOptions } from './run.ts';
import { trainToEnd } from './train.ts';

// Networks that PyTorch exported (packages/engine/golden/make.py): images of 16 x 16 x 3, five classes.
const GOLDEN = new URL('../../engine/golden/onnx/', import.meta.url);
const file = (name: string) => new Uint8Array(readFileSync(new URL(`${name}/model.onnx`, GOLDEN)));

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

async function imported(name: string): Promise<FixedNetwork> {
  return { id: `models/${name}`, ...(await openNetwork(await importModel({ 'model.onnx': file(name) }))) };
}

/** Images over noise, each class with a bright band in its own place. */
function bands(count: number): Split {
  const size = 16 * 16 * 3;
  const images = Uint8Array.from(uniform({ seed: 1, stream: 'bands' }, count * size), (u) => u * 80);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 5);
  for (let i = 0; i < count; i++) {
    const from = i * size + (i % 5) * 3 * 16 * 3;
    images.fill(230, from, from + 3 * 16 * 3);
  }
  return { count, images, labels };
}

const dataset: Dataset = {
  name: 'bands',
  input: [16, 16, 3],
  classes: ['a', 'b', 'c', 'd', 'e'],
  train: bands(80),
  test: bands(10),
};

const config: TrainingConfig = {
  architecture: 'onnx',
  objective: { name: 'jsigr', settings: { saliencyMethod: 'gradient', maskWarmupEpochs: 1, rampEndEpoch: 2 } },
  optimizer: { name: 'adam', settings: { learningRate: 0.01 } },
  techniques: { averageDecay: 0.5 },
  epochs: 4,
  batchSize: 16,
  heldOutFraction: 0.2,
  seed: 1,
};

async function tuned(initial: FixedNetwork, options: TrainingOptions = {}, until = Number.POSITIVE_INFINITY) {
  let step = 0;
  const losses: number[] = [];
  const checkpoint = await trainToEnd(engine, config, dataset, {
    initial,
    ...options,
    turnSeconds: 0,
    shouldStop: () => step >= until,
    onEvent: (event) => {
      if (event.type === 'step') step = event.step;
      if (event.type === 'step') losses.push(event.terms.crossEntropy ?? Number.NaN);
    },
  });
  return { checkpoint, losses };
}

const numbers = (arrays: Readonly<Record<string, NdArray>>) =>
  Object.fromEntries(Object.entries(arrays).map(([name, { data }]) => [name, [...data]]));

describe('an imported ONNX network', () => {
  it('is fine-tuned: its weights move and learn, its running statistics stay', async () => {
    const initial = await imported('torch-resnet-unfolded-17');
    const { checkpoint, losses } = await tuned(initial);
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(losses.slice(-4))).toBeLessThan(0.5 * mean(losses.slice(0, 4)));
    const shapes = Object.entries(initial.network.shapes);
    const statistics = shapes.filter(([, { isStatistic }]) => isStatistic).map(([name]) => name);
    // A mean and a variance of each of the seven batch normalisations.
    expect(statistics.map((name) => name.split('.').at(-1)).toSorted()).toEqual([
      ...Array(7).fill('running_mean'),
      ...Array(7).fill('running_var'),
    ]);
    const [before, after] = [numbers(initial.parameters), numbers(checkpoint.parameters)];
    for (const [name, { isStatistic }] of shapes)
      if (isStatistic) expect(after[name], name).toEqual(before[name]);
      else expect(after[name], name).not.toEqual(before[name]);
    // The two others are whole sets of weights: those without the average, and those that the maps were made with.
    const moments = Object.keys(checkpoint.optimizer).filter((slot) => !/^(trained|saliency)\//.test(slot));
    expect(moments.length).toBeGreaterThan(0);
    expect(moments.filter((slot) => statistics.some((name) => slot.endsWith(`/${name}`)))).toEqual([]);
  });

  it('goes on from a checkpoint to the same bits, and its checkpoints hold the file', async () => {
    const initial = await imported('torch-resnet-dynamo-18');
    const { checkpoint: whole } = await tuned(initial);
    const { checkpoint: part } = await tuned(initial, {}, 6);
    const files = encodeCheckpoint(part);
    expect(files['model.onnx']).toEqual(file('torch-resnet-dynamo-18'));
    const { 'model.onnx': _, ...without } = files;
    expect(() => decodeCheckpoint(without)).toThrow('the checkpoint lacks model.onnx');
    const wrong = { ...files, 'model.onnx': file('torch-resnet-unfolded-17') };
    expect(() => decodeCheckpoint(wrong)).toThrow(/^model.onnx .* but the manifest says/);
    const { checkpoint: resumed } = await tuned(initial, { resume: decodeCheckpoint(files) });
    expect(numbers(resumed.parameters)).toEqual(numbers(whole.parameters));
    expect(numbers(resumed.optimizer)).toEqual(numbers(whole.optimizer));
    const other = await imported('torch-resnet-unfolded-17');
    await expect(tuned(other, { resume: part })).rejects.toThrow(/resume.model|was made with model/);
  });

  it('is opened, begun with and exported again with its new weights', async () => {
    const initial = await imported('torch-resnet-dynamo-18');
    const { checkpoint } = await tuned(initial);
    const files = encodeCheckpoint(checkpoint);
    const { classifier } = await openModel(files, 'abcdef0123');
    const images = float32(uniform({ seed: 2, stream: 'images' }, 3 * 768), [3, 16, 16, 3]);
    const { logits } = await predict(engine, classifier, images);
    const before = await openModel(await importModel({ 'model.onnx': file('torch-resnet-dynamo-18') }), 'abcdef0123');
    const { logits: old } = await predict(engine, before.classifier, images);
    expect(Math.max(...logits.data.map((value, i) => Math.abs(Number(value) - Number(old.data[i]))))).toBeGreaterThan(
      0.1,
    );

    const again = await importModel({ 'model.onnx': classifierToOnnx(classifier) });
    const { classifier: exported } = await openModel(again, '0123456789');
    const { logits: same } = await predict(engine, exported, images);
    same.data.forEach((value, i) => {
      expect(value).toBeCloseTo(Number(logits.data[i]), 4);
    });
    const next = await tuned({ id: 'models/tuned', ...(await openNetwork(files)) }, {}, 1);
    expect(next.checkpoint.model).toEqual(checkpoint.model);
  });

  it('is not begun with where it was trained on images that are to be held out', async () => {
    const { checkpoint } = await tuned(await imported('torch-resnet-dynamo-18'), { datasetDigest: 'abc' }, 1);
    const initial = { id: 'models/tuned', ...(await openNetwork(encodeCheckpoint(checkpoint))) };
    const begin = (datasetDigest: string) =>
      trainToEnd(engine, { ...config, seed: 2, steps: 1 }, dataset, { initial, datasetDigest });
    await expect(begin('abc')).rejects.toThrow(
      'initial: models/tuned was trained on images that seed 2 holds out: use seed 1',
    );
    expect((await begin('another dataset')).step).toBe(1);
  });

  it('is refused, naming the field, without a model, with switches, and where the model is none that can be trained', async () => {
    const initial = await imported('torch-resnet-dynamo-18');
    const refusal = (change: TrainingConfig, options: TrainingOptions = { initial }) =>
      trainToEnd(engine, { ...config, ...change }, dataset, options);
    await expect(refusal({}, {})).rejects.toThrow(/^initial: is missing: onnx is an imported network/);
    await expect(refusal({ norm: 'batch' })).rejects.toThrow(
      /^norm: batch given, but an imported network stays as it is/,
    );
    await expect(refusal({ architecture: 'lenet' })).rejects.toThrow(/^initial: .* is a onnx, a lenet is trained/);
    const layers = (name: string) => new Uint8Array(readFileSync(new URL(`../layers/sequential/${name}`, GOLDEN)));
    const keras = await importModel({ 'model.json': layers('model.json'), 'weights.bin': layers('weights.bin') });
    await expect(openNetwork(keras)).rejects.toThrow('an imported layers-model cannot be trained, ONNX can');
  });
});
