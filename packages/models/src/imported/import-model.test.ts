import { readFileSync } from 'node:fs';
import {
  createEngine,
  type Engine,
  exportOnnx,
  float32,
  type NdArray,
  normal,
  readSafetensors,
  uniform,
} from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isQueried } from '../classifier.ts';
import { createClassifier } from '../create-classifier.ts';
import { classifierToOnnx } from '../export-onnx.ts';
import { initialParameters } from '../model-spec.ts';
import { openModel } from '../open-model.ts';
import { argmax, predict } from '../predict.ts';
import { type ImportOptions, importModel } from './import-model.ts';

// Files that other tools exported, with the outputs that those tools compute: packages/engine/golden/make.py
const GOLDEN = new URL('../../../engine/golden/', import.meta.url);
const read = (path: string) => new Uint8Array(readFileSync(new URL(path, GOLDEN)));
const onnx = (name: string) => ({ 'model.onnx': read(`onnx/${name}/model.onnx`) });
const layers = (name: string) => ({
  'model.json': read(`layers/${name}/model.json`),
  'weights.bin': read(`layers/${name}/weights.bin`),
});

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

function expectedOf(name: string): { input: NdArray; output: NdArray } {
  const { tensors } = readSafetensors(read(`onnx/${name}/expected.safetensors`));
  const find = (kind: string) => Object.entries(tensors).find(([key]) => key.startsWith(`${kind}/`))?.[1] as NdArray;
  return { input: find('input'), output: find('output') };
}

/** [N, C, H, W] -> [N, H, W, C] */
function channelsLast({ data, shape: [n = 0, c = 0, h = 0, w = 0] }: NdArray): NdArray {
  const moved = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const [image, channel, pixel] = [Math.floor(i / (c * h * w)), Math.floor(i / (h * w)) % c, i % (h * w)];
    moved[(image * h * w + pixel) * c + channel] = data[i] ?? 0;
  }
  return float32(moved, [n, h, w, c]);
}

async function manifestOf(files: Readonly<Record<string, Uint8Array>>) {
  return JSON.parse(new TextDecoder().decode(files['manifest.json']));
}

describe('importModel', () => {
  it.each<[string, ImportOptions, number[]]>([
    ['torch-resnet-dynamo-18', {}, [16, 16, 3]],
    ['torch-resnet-fixed-batch-17', {}, [16, 16, 3]],
    ['torch-vit-12', {}, [12, 12, 3]],
  ])('%s: a classifier of images [N, H, W, C] with PyTorch’s logits', async (name, options, shape) => {
    const files = await importModel(onnx(name), options);
    expect((await manifestOf(files)).reading).toMatchObject({ layout: 'NCHW', scores: 'logits' });
    const { classifier, checkpoint } = await openModel(files, 'abcdef0123');
    expect(checkpoint).toBeUndefined();
    expect(classifier).toMatchObject({ input: shape, classes: 5, id: 'onnx@abcdef01' });
    const { input, output } = expectedOf(name);
    const { logits } = await predict(engine, classifier, channelsLast(input));
    output.data.forEach((value, i) => {
      expect(logits.data[i]).toBeCloseTo(value, 4);
    });
  });

  it('uses the input of a last softmax as logits, and says so', async () => {
    const files = await importModel(onnx('torch-plain-11'), {
      name: 'plain',
      labels: ['a', 'b', 'c', 'd', 'e', 'f'],
    });
    const { remarks, reading, model } = await manifestOf(files);
    expect(remarks).toEqual([expect.stringMatching(/^the file ends in a softmax; its input '.*' is used as logits$/)]);
    expect({ scores: reading.scores, input: model.input }).toEqual({ scores: 'logits', input: [16, 16, 1] });
    const { classifier } = await openModel(files, 'abcdef0123');
    const { input, output } = expectedOf('torch-plain-11');
    const { logits } = await predict(engine, classifier, channelsLast(input));
    const sum = Array.from(logits.data.slice(0, 6), Math.exp).reduce((a, b) => a + b);
    expect(Math.exp(logits.data[2] ?? 0) / sum).toBeCloseTo(output.data[2] ?? 0, 5);
  });

  it('takes logarithms of probabilities that no softmax gives, and says so', async () => {
    const files = await importModel(onnx('sklearn-logistic-17'), { input: [2, 3, 1] });
    const { remarks, reading } = await manifestOf(files);
    expect(remarks[0]).toContain('it gives probabilities; their logarithms are used as logits');
    expect(reading).toMatchObject({ imageShape: [6], scores: 'probabilities' });
    const { classifier } = await openModel(files, 'abcdef0123');
    const { input, output } = expectedOf('sklearn-logistic-17');
    const { logits } = await predict(engine, classifier, float32(input.data as Float32Array, [4, 2, 3, 1]));
    expect(Math.exp(logits.data[1] ?? 0)).toBeCloseTo(output.data[1] ?? 0, 5);
  });

  /** One dense layer on images [N, 5, 5, 1], and what comes after it. */
  const dense = (columns: number, scale: number, after: (scores: Tensor) => Tensor) => ({
    'model.onnx': exportOnnx(
      (({ weights, images }: { weights: Tensor; images: Tensor }) =>
        after(tf.matMul(tf.reshape(images, [-1, 25]), weights))) as never,
      {
        constants: {
          weights: float32(
            normal({ seed: 1, stream: 'weights' }, 25 * columns).map((value) => value * scale),
            [25, columns],
          ),
        },
        input: { name: 'images', spec: { shape: [5, 5, 1], dtype: 'float32' } },
        output: 'scores',
      },
    ),
  });
  const images = float32(uniform({ seed: 2, stream: 'images' }, 125), [5, 5, 5, 1]);

  it.each<[string, (score: Tensor) => Tensor, string, RegExp]>([
    ['the sigmoid of a score', tf.sigmoid, 'logit', /^the file ends in a sigmoid; its input .* is used as logits$/],
    ['a score', (score) => score, 'logit', /^it gives one score, above 0 for class 1/],
    [
      'a probability that no sigmoid gives',
      (score) => tf.div(1, tf.add(1, tf.exp(tf.neg(score)))),
      'probability',
      /^it gives one score, which is read as the probability of class 1/,
    ],
  ])('takes %s for two classes', async (_, after, scores, remark) => {
    const files = await importModel(dense(1, 1, after), { labels: ['no', 'yes'] });
    const { reading, remarks, model } = await manifestOf(files);
    expect([reading.scores, model.classes, remarks[0]]).toEqual([scores, 2, expect.stringMatching(remark)]);
    const { classifier } = await openModel(files, 'abcdef0123');
    const { logits } = await predict(engine, classifier, images);
    const { logits: expected } = await predict(
      engine,
      (await openModel(await importModel(dense(1, 1, (score) => score)), 'ab')).classifier,
      images,
    );
    expect(logits.shape).toEqual([5, 2]);
    for (let image = 0; image < 5; image++) {
      const gap = ({ data }: NdArray) => (data[2 * image + 1] ?? 0) - (data[2 * image] ?? 0);
      expect(gap(logits)).toBeCloseTo(gap(expected), 2);
      expect(Math.abs(gap(expected))).toBeGreaterThan(0);
    }
  });

  it('takes a sum of products for a score, and no probability, though all that it gave lay in [0,1]', async () => {
    const files = await importModel(dense(1, 1, (score) => tf.add(tf.mul(score, 0.01), 0.5)));
    expect((await manifestOf(files)).reading.scores).toBe('logit');
  });

  it('uses the inputs of last sigmoids as logits of several classes', async () => {
    const files = await importModel(dense(3, 1, tf.sigmoid));
    const { reading, remarks } = await manifestOf(files);
    expect([reading.scores, remarks]).toEqual(['logits', [expect.stringContaining('ends in a sigmoid')]]);
    const whole = await openModel(await importModel(dense(3, 1, (scores) => scores)), 'ab');
    const [before, after] = await Promise.all(
      [whole, await openModel(files, 'cd')].map(({ classifier }) => predict(engine, classifier, images)),
    );
    expect([...(after?.logits.data ?? [])]).toEqual([...(before?.logits.data ?? [])]);
  });

  it('reads Keras’ images as [N, H, W, C], and LayersModels', async () => {
    expect((await manifestOf(await importModel(onnx('keras-cnn-17')))).model.input).toEqual([12, 12, 3]);
    const sequential = await importModel(layers('sequential'));
    expect(await manifestOf(sequential)).toMatchObject({
      model: { architecture: 'layers-model', input: [10, 10, 3], classes: 4 },
      reading: { scores: 'probabilities' },
    });
    expect(Object.keys((await openModel(sequential, 'abcdef01')).classifier.parameters).length).toBeGreaterThan(10);
  });

  it('makes a normalization part of the model', async () => {
    const plain = await openModel(await importModel(onnx('keras-cnn-17')), 'abcdef01');
    const normalization = { mean: [0.5, 0.25, 0], deviation: [0.5, 0.5, 1] };
    const shifted = await openModel(await importModel(onnx('keras-cnn-17'), { normalization }), 'abcdef01');
    const image = (channels: readonly number[]) =>
      float32(
        Float32Array.from({ length: 432 }, (_, i) => channels[i % 3] ?? 0),
        [1, 12, 12, 3],
      );
    const { logits: expected } = await predict(engine, plain.classifier, image([0.2, 0.8, 0.3]));
    // 0.5 + 0.5 * 0.2, 0.25 + 0.5 * 0.8, 0.3
    const { logits } = await predict(engine, shifted.classifier, image([0.6, 0.65, 0.3]));
    expected.data.forEach((value, i) => {
      expect(logits.data[i]).toBeCloseTo(value, 5);
    });
  });

  it('takes weights from the files beside an ONNX file, and keeps one file; a runtime never looks for them', async () => {
    const file = read('external/model.onnx');
    const files = await importModel({ 'model.onnx': file, 'model.onnx.data': read('external/model.onnx.data') });
    expect(Object.keys(files).toSorted()).toEqual(['manifest.json', 'model.onnx']);
    const { tensors } = readSafetensors(read('external/expected.safetensors'));
    const { classifier } = await openModel(files, 'ab');
    const { logits } = await predict(engine, classifier, channelsLast(tensors.input as NdArray));
    for (const [i, value] of (tensors.output as NdArray).data.entries()) expect(logits.data[i]).toBeCloseTo(value, 5);
    await expect(importModel({ 'model.onnx': file })).rejects.toMatchObject({
      reason: 'MALFORMED_FILE',
      message: expect.stringContaining("lie in the file 'model.onnx.data' beside the model, which is not at hand"),
    });
  });

  it.each(['float16', 'float64'])('reads images of type %s', async (type) => {
    const files = await importModel({ 'model.onnx': read(`inputs/${type}.onnx`) });
    expect(await manifestOf(files)).not.toHaveProperty('blackBox');
  });

  it('cannot look into a file that rounds images to bytes: it is asked', async () => {
    const files = await importModel({ 'model.onnx': read('inputs/uint8.onnx') });
    const { blackBox, remarks } = await manifestOf(files);
    expect(blackBox).toMatch(/its input 'images' takes whole numbers, which have no gradient$/);
    expect(remarks).toEqual([expect.stringContaining('rounded to whole numbers from 0 to 255')]);
    const { classifier } = await openModel(files, 'ab');
    if (!isQueried(classifier)) throw new Error('it should be a black box');
    const white = await openModel(await importModel({ 'model.onnx': read('inputs/float64.onnx') }), 'cd');
    const bytes = uniform({ seed: 4, stream: 'bytes' }, 75).map((u) => Math.floor(u * 256));
    const { logits } = await predict(engine, white.classifier, float32(bytes, [1, 5, 5, 3]));
    const asked = await classifier.query(
      float32(
        bytes.map((byte) => (byte + 0.3) / 255),
        [1, 5, 5, 3],
      ),
    );
    for (const [i, value] of logits.data.entries()) expect((asked.data[i] ?? 0) / value).toBeCloseTo(1, 4);
    classifier.close?.();
  });

  it('asks a file, one image at a time, that cannot be traced for another batch than its own', async () => {
    const files = await importModel({ 'model.onnx': read('inputs/fixed-attention.onnx') });
    expect((await manifestOf(files)).blackBox).toMatch(
      /because it was exported for a fixed batch of 1 .* do not broadcast$/,
    );
    const { classifier } = await openModel(files, 'ab');
    if (!isQueried(classifier)) throw new Error('it should be a black box');
    const { shape } = await classifier.query(float32(uniform({ seed: 4, stream: 'x' }, 576), [3, 8, 8, 3]));
    expect(shape).toEqual([3, 3]);
    classifier.close?.();
  });

  it.each([
    ['fixed-token', /because it was exported for a fixed batch of 2 .* cannot be joined along axis 1/],
    ['wide-fold', /because Col2Im .*: a constant of shape .* has 2097152 numbers; the limit is 1048576/],
  ])('asks %s, which cannot be traced', async (name, why) => {
    const files = await importModel({ 'model.onnx': read(`inputs/${name}.onnx`) });
    expect((await manifestOf(files)).blackBox).toMatch(why);
  });

  it('refuses a file for which ONNX Runtime gives no numbers, whatever is computed here', async () => {
    await expect(importModel({ 'model.onnx': read('inputs/no-number.onnx') })).rejects.toMatchObject({
      name: 'ModelError',
      message: expect.stringContaining('ONNX Runtime gives scores that are not finite'),
    });
  });

  it('reads back what is exported here', async () => {
    const spec = { architecture: 'resnet8', input: [8, 8, 3], classes: 4 } as const;
    const ours = createClassifier(spec, initialParameters(spec, 1), 'ours');
    const { classifier } = await openModel(await importModel({ 'model.onnx': classifierToOnnx(ours) }), 'ab');
    const images = float32(
      Float32Array.from({ length: 384 }, (_, i) => (i % 7) / 7),
      [2, 8, 8, 3],
    );
    const [{ logits }, { logits: expected }] = [
      await predict(engine, classifier, images),
      await predict(engine, ours, images),
    ];
    expect(argmax(logits.data.slice(0, 4) as Float32Array)).toBe(argmax(expected.data.slice(0, 4) as Float32Array));
    expected.data.forEach((value, i) => {
      expect(logits.data[i]).toBeCloseTo(value, 4);
    });
  });

  /** The mean of images, `classes` times. */
  const means = (shape: number[], classes: number, after = (scores: Tensor) => scores) => ({
    'model.onnx': exportOnnx(
      (({ images }: { images: Tensor }) =>
        after(tf.matMul(tf.reshape(tf.mean(images, [1, 2, 3]), [-1, 1]), tf.ones([1, classes])))) as never,
      { constants: {}, input: { name: 'images', spec: { shape, dtype: 'float32' } }, output: 'scores' },
    ),
  });

  /** Every pixel is a score: more numbers than a function takes as arguments. */
  const flattened = (shape: number[]) => ({
    'model.onnx': exportOnnx(
      (({ images }: { images: Tensor }) => tf.reshape(images, [-1, shape.reduce((a, b) => a * b)])) as never,
      { constants: {}, input: { name: 'images', spec: { shape, dtype: 'float32' } }, output: 'scores' },
    ),
  });

  it.each<[string, Record<string, Uint8Array>, ImportOptions, string, string]>([
    [
      'no model',
      { 'readme.txt': new Uint8Array(3) },
      {},
      'files',
      'there is neither model.onnx nor model.json among readme.txt',
    ],
    ['another size', onnx('keras-cnn-17'), { input: [10, 12, 3] }, 'input', 'images of 10x12x3 do not fit it'],
    ['another layout', onnx('keras-cnn-17'), { layout: 'NCHW' }, 'layout', 'as NCHW it has 12 channels'],
    [
      'flat features without a size',
      onnx('sklearn-mlp-17'),
      {},
      'input',
      "its input 'X' has the shape [?, 6]: give the height, width and channels",
    ],
    [
      'labels of another number',
      onnx('torch-vit-12'),
      { labels: ['cat', 'dog'] },
      'labels',
      '2 labels were given, the model tells 5 classes apart',
    ],
    [
      'an output that is no list of scores',
      onnx('torch-vit-12'),
      { output: 'images' },
      'files',
      'a classifier gives [4, classes]',
    ],
    [
      'means of another number of channels',
      onnx('torch-vit-12'),
      { normalization: { mean: [0.5, 0.5], deviation: [1] } },
      'normalization.mean',
      '2 numbers for images of 3 channels',
    ],
    [
      'a deviation of 0',
      onnx('torch-vit-12'),
      { normalization: { mean: [0], deviation: [0] } },
      'normalization.deviation',
      'must be above 0',
    ],
    ['images that are too large', means([2000, 2, 1], 1), {}, 'files', 'sides of 1 to 1024 pixels are allowed'],
    ['too many classes', means([8, 8, 1], 10_001), {}, 'files', 'tells 10001 classes apart; at most 10000 are allowed'],
    [
      'images as scores',
      flattened([500, 500, 1]),
      {},
      'files',
      'tells 250000 classes apart; at most 10000 are allowed',
    ],
    ['a softmax over one class', means([8, 8, 1], 1, tf.softmax), {}, 'files', 'a softmax over one class, which is 1'],
    [
      'an output that is no list of scores, saying what else there is',
      onnx('torch-vit-12'),
      { output: 'images' },
      'files',
      'outputs that can be asked for: images',
    ],
  ])('refuses %s, naming the field', async (_, files, options, field, message) => {
    const error = await importModel(files, options).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ name: 'ModelError', field });
    expect((error as Error).message).toContain(message);
  });
});

describe('openModel', () => {
  it('says which file of an imported model was changed or is missing', async () => {
    const files = await importModel(onnx('torch-plain-11'));
    const changed = { ...files, 'model.onnx': read('onnx/torch-vit-12/model.onnx') };
    await expect(openModel(changed, 'ab')).rejects.toMatchObject({ reason: 'DIGEST_MISMATCH', field: 'model.onnx' });
    const { 'manifest.json': manifest = new Uint8Array() } = files;
    await expect(openModel({ 'manifest.json': manifest }, 'ab')).rejects.toThrow('model.onnx is missing');
    const broken = new TextEncoder().encode(new TextDecoder().decode(manifest).replace('"classes": 6', '"classes": 1'));
    await expect(openModel({ ...files, 'manifest.json': broken }, 'ab')).rejects.toMatchObject({
      field: 'model.classes',
    });
  });
});
