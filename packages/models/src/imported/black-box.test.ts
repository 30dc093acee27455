import { readFileSync } from 'node:fs';
import { createEngine, type Engine, float32, type NdArray, runOnnxFile, uniform } from '@jsigr/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { budgeted, isQueried, type QueriedClassifier } from '../classifier.ts';
import { createClassifier } from '../create-classifier.ts';
import { classifierToOnnx } from '../export-onnx.ts';
import { initialParameters } from '../model-spec.ts';
import { openModel } from '../open-model.ts';
import { predict } from '../predict.ts';
import { arranged, type Oracle, oracleOfFile, queriedOf, tryOracle } from './black-box.ts';
import { importEndpoint, importModel } from './import-model.ts';
import type { Reading } from './manifest.ts';

const torch = new Uint8Array(
  readFileSync(new URL('../../../engine/golden/onnx/torch-resnet-dynamo-18/model.onnx', import.meta.url)),
);
const spec = { architecture: 'mlp', input: [4, 4, 1], classes: 3 } as const;

/** An ONNX file whose activation is Atan, which ONNX Runtime knows and the engine does not. */
function foreignFile(): Uint8Array {
  const file = Buffer.from(classifierToOnnx(createClassifier(spec, initialParameters(spec, 1), 'ours')));
  return renamed(file, 'Relu', 'Atan');
}

function renamed(file: Buffer, from: string, to: string): Uint8Array {
  const changed = Buffer.from(file);
  for (let at = changed.indexOf(from); at >= 0; at = changed.indexOf(from, at + 1)) changed.write(to, at);
  expect(changed.equals(file)).toBe(false);
  return new Uint8Array(changed);
}

const imagesOf = (shape: readonly number[]) =>
  float32(
    uniform(
      { seed: 5, stream: 'test' },
      shape.reduce((a, b) => a * b),
    ),
    shape,
  );

function expectClose(found: NdArray, expected: NdArray): void {
  expect(found.shape).toEqual(expected.shape);
  expected.data.forEach((value, i) => {
    expect(found.data[i]).toBeCloseTo(value, 4);
  });
}

async function manifestOf(files: Readonly<Record<string, Uint8Array>>) {
  return JSON.parse(new TextDecoder().decode(files['manifest.json']));
}

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

describe('an ONNX file with an operator that is not known here', () => {
  it('is imported as a black box that says which operator, and is asked through ONNX Runtime', async () => {
    const file = foreignFile();
    const files = await importModel({ 'model.onnx': file }, { layout: 'NHWC' });
    const { blackBox } = await manifestOf(files);
    expect(blackBox).toMatch(/ONNX Runtime runs the file as it is, because .*Atan/);
    const { classifier } = await openModel(files, 'abcdef0123');
    if (!isQueried(classifier)) throw new Error('it should be a black box');
    expect(classifier).toMatchObject({ id: 'onnx@abcdef01', input: [4, 4, 1], classes: 3, blackBox });
    const images = imagesOf([5, 4, 4, 1]);
    const { logits } = await runOnnxFile(file, { images }, ['logits']);
    expectClose(await classifier.query(images), logits as NdArray);
    await expect(predict(engine, classifier, images)).rejects.toThrow(/is a black box, which can only be attacked/);
    classifier.close?.();
  });

  it('is described in few words that a terminal does not obey, whatever its nodes are called', async () => {
    const file = Buffer.from(foreignFile());
    const [from, to] = [Buffer.from('Atan_'), Buffer.from('\u001b[2J_')];
    for (let at = file.indexOf(from); at >= 0; at = file.indexOf(from, at + 1)) to.copy(file, at);
    const { blackBox } = await manifestOf(
      await importModel({ 'model.onnx': new Uint8Array(file) }, { layout: 'NHWC' }),
    );
    expect(blackBox).toContain("Atan (node '?[2J_");
  });

  it('that ONNX Runtime does not know either is refused, with both reasons', async () => {
    const file = renamed(Buffer.from(foreignFile()), 'Atan', 'Zzzz');
    await expect(importModel({ 'model.onnx': file })).rejects.toThrow(
      /Zzzz.*cannot be asked as a black box either: ONNX/s,
    );
  });
});

it('a file that is asked gives what it gives when it is traced: images are arranged in the same way', async () => {
  const normalization = { mean: [0.5, 0.25, 0], deviation: [0.5, 0.5, 2] };
  const files = await importModel({ 'model.onnx': torch }, { normalization });
  const { classifier } = await openModel(files, 'ab');
  const { reading, model } = await manifestOf(files);
  expect(reading).toMatchObject({ layout: 'NCHW' });
  const oracle = await oracleOfFile(torch);
  const asked = queriedOf(oracle, reading, { ...model, id: 'asked', blackBox: 'of a test' });
  const images = imagesOf([3, ...classifier.input]);
  expectClose(await asked.query(images), (await predict(engine, classifier, images)).logits);
  oracle.close();
});

const plain: Reading = {
  format: 'endpoint',
  producer: '',
  inputName: 'x',
  outputName: 'y',
  layout: 'NHWC',
  imageShape: [1, 1, 2],
  scores: 'logits',
  normalization: { mean: [0], deviation: [1] },
};

/** Gives the two numbers of each image as scores. */
function oracleOf(
  change: Partial<Oracle> & { answer?: (input: NdArray) => NdArray } = {},
): Oracle & { sizes: number[] } {
  const { answer = (input: NdArray) => float32(input.data as Float32Array, [input.shape[0] ?? 0, 2]), ...rest } =
    change;
  const sizes: number[] = [];
  return {
    inputs: [{ name: 'x', dtype: 'float32', shape: ['', 1, 1, 2] }],
    outputs: ['y'],
    ask: async (input) => {
      sizes.push(input.shape[0] ?? 0);
      return answer(input);
    },
    close: () => {},
    sizes,
    ...rest,
  };
}
const classifierOf = (oracle: Oracle, reading = plain): QueriedClassifier =>
  queriedOf(oracle, reading, { input: [1, 1, 2], classes: 2, id: 'asked', blackBox: 'of a test' });

describe('an oracle', () => {
  it('of a fixed batch is asked for so many at a time', async () => {
    const oracle = oracleOf({ inputs: [{ name: 'x', dtype: 'float32', shape: [2, 1, 1, 2] }] });
    const images = imagesOf([5, 1, 1, 2]);
    const { data } = await classifierOf(oracle).query(images);
    expect([...data]).toEqual([...images.data]);
    expect(oracle.sizes).toEqual([2, 2, 2]);
  });

  it('of probabilities gives their logarithms', async () => {
    const { data } = await classifierOf(oracleOf(), { ...plain, scores: 'probabilities' }).query(
      float32([0.5, 0], [1, 1, 1, 2]),
    );
    expect(data[0]).toBeCloseTo(Math.log(0.5));
    expect(data[1]).toBeCloseTo(Math.log(1e-30), 3);
  });

  it.each([
    ['logit', -1, [0, -1]],
    ['probability', 0.75, [Math.log(0.25), Math.log(0.75)]],
  ] as const)('of one %s for each image tells two classes apart', async (scores, score, expected) => {
    const answer = ({ shape: [count = 0] }: NdArray) => float32(new Float32Array(count).fill(score), [count, 1]);
    const { data, shape } = await classifierOf(oracleOf({ answer }), { ...plain, scores }).query(
      imagesOf([3, 1, 1, 2]),
    );
    expect(shape).toEqual([3, 2]);
    for (const [i, value] of data.entries()) expect(value).toBeCloseTo(expected[i % 2] ?? 0);
  });

  it.each([
    { what: 'fewer rows', answer: () => float32([1, 2], [1, 2]), message: /shape \[1,2\] for 3 images/ },
    {
      what: 'other classes',
      answer: () => float32(new Float32Array(9), [3, 3]),
      message: /shape \[3,3\] for 3 images of 2 classes/,
    },
  ])('that gives $what is told so', async ({ answer, message }) => {
    const asked = classifierOf(oracleOf({ answer })).query(imagesOf([3, 1, 1, 2]));
    await expect(asked).rejects.toMatchObject({ reason: 'MALFORMED_ANSWER', message: expect.stringMatching(message) });
  });

  it('is tried on any number of scores', async () => {
    const answer = ({ shape: [count = 0] }: NdArray) => float32(new Float32Array(200_000 * count), [count, 200_000]);
    expect((await tryOracle(oracleOf({ answer }), plain, [1, 1, 2])).isSteady).toBe(true);
  });

  it.each([1, 4])('that gives no numbers for %i images is refused', async (size) => {
    const answer = ({ shape: [count = 0] }: NdArray) =>
      float32(new Float32Array(2 * count).fill(count === size ? Number.NaN : 1), [count, 2]);
    await expect(tryOracle(oracleOf({ answer }), plain, [1, 1, 2])).rejects.toMatchObject({
      reason: 'MALFORMED_ANSWER',
      message: expect.stringContaining('scores that are not finite'),
    });
  });

  it('with a budget refuses the question that goes beyond it', async () => {
    const oracle = oracleOf();
    const limited = budgeted(classifierOf(oracle), 5);
    await limited.query(imagesOf([3, 1, 1, 2]));
    await expect(limited.query(imagesOf([3, 1, 1, 2]))).rejects.toMatchObject({ reason: 'BUDGET_SPENT' });
    await limited.query(imagesOf([2, 1, 1, 2]));
    expect([oracle.sizes, limited.budget?.wasShort()]).toEqual([[3, 2], true]);
  });
});

describe('an endpoint', () => {
  const endpoint = { url: 'http://models.example/v2/models/m', requestsPerSecond: 10, timeoutMs: 1000, batch: 8 };

  it('is tried, and becomes an artefact that is opened by whoever can reach it', async () => {
    const files = await importEndpoint(oracleOf(), endpoint, { name: 'live', layout: 'NHWC' });
    expect(Object.keys(files)).toEqual(['manifest.json']);
    expect(await manifestOf(files)).toMatchObject({ name: 'live', endpoint, model: { input: [1, 1, 2], classes: 2 } });
    const { classifier } = await openModel(files, 'abcdef0123', { connect: async () => oracleOf() });
    expect(classifier).toMatchObject({ id: 'live@abcdef01', blackBox: `it is a live endpoint, ${endpoint.url}` });
    await expect(openModel(files, 'ab')).rejects.toThrow(/is a live endpoint, which can only be attacked/);
  });

  it('that answers the same image differently is taken, and that is said', async () => {
    let calls = 0;
    const answer = ({ shape }: NdArray) =>
      float32(imagesOf([shape[0] ?? 0, 2]).data.map((v) => v + ++calls) as Float32Array, [shape[0] ?? 0, 2]);
    const { remarks } = await manifestOf(await importEndpoint(oracleOf({ answer }), endpoint, { layout: 'NHWC' }));
    expect(remarks.at(-1)).toMatch(/may draw random numbers/);
  });

  it.each([
    {
      what: 'scores that are not finite',
      change: { answer: () => float32([Number.NaN], [1]) },
      message: /shape \[1\] for 4/,
    },
    {
      what: 'an unknown output',
      change: {},
      options: { output: 'z' },
      message: /z gives no floating-point scores; .* y$/,
    },
    {
      what: 'two inputs',
      change: { inputs: [...oracleOf().inputs, ...oracleOf().inputs] },
      message: /it must have one/,
    },
  ])('with $what is refused', async ({ change, options, message }) => {
    await expect(importEndpoint(oracleOf(change), endpoint, { layout: 'NHWC', ...options })).rejects.toThrow(message);
  });
});

it('arranges channels first', () => {
  const reading: Reading = {
    ...plain,
    layout: 'NCHW',
    imageShape: [2, 1, 2],
    normalization: { mean: [0, 1], deviation: [1, 2] },
  };
  expect([...arranged(float32([1, 2, 3, 4], [1, 1, 2, 2]), reading).data]).toEqual([1, 3, 0.5, 1.5]);
});
