import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../engine.ts';
import { float32, type NdArray } from '../ndarray.ts';
import type { OnnxAttribute, OnnxGraph, OnnxNode } from '../onnx/graph.ts';
import { withSoftplus } from '../smoothing.ts';
import { draw, relativeError } from '../testing.ts';
import { runOnnxFile } from './run-file.ts';
import { fileOf, gradientsOfFile, imagesOf, tracedFile } from './testing.ts';

// Zeros, kinks, infinities and limits: beside ONNX Runtime, or by hand where it has no gradients.

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

/** A file of one operator. */
const single = (
  operator: string,
  shape: readonly number[],
  to: readonly number[],
  attributes: Readonly<Record<string, OnnxAttribute>>,
  more: (graph: OnnxGraph) => readonly OnnxNode[] = () => [],
) => fileOf(shape, (graph, x) => graph.node(operator, [x, ...more(graph)], to, { attributes }));

async function expectTheirs(file: Uint8Array, x: NdArray): Promise<NdArray> {
  const found = await tracedFile(engine, file, x);
  const { y } = await runOnnxFile(file, { x }, ['y']);
  expect(found.shape).toEqual(y?.shape);
  expect(relativeError(found, y as NdArray)).toBeLessThan(1e-5);
  return found;
}

const expectNumbers = ({ data }: NdArray, expected: readonly number[]) => {
  expect(data).toHaveLength(expected.length);
  for (const [i, number] of expected.entries()) expect(data[i]).toBeCloseTo(number, 5);
};

describe('Resize makes as many pixels as ONNX Runtime', () => {
  const [height, width] = [224, 83];
  const none = (graph: OnnxGraph) => graph.constant([], [0]);
  const attributes = { mode: 'linear' };

  it('of sizes that no scale in single precision gives', async () => {
    const file = single('Resize', [1, 1, 96, 47], [1, 1, height, width], attributes, (graph) => [
      none(graph),
      none(graph),
      graph.constant([1, 1, height, width], [4], 'int64'),
    ]);
    await expectTheirs(file, imagesOf([1, 1, 96, 47]));
  });

  it('of scales, whose product is one in single precision', async () => {
    const file = single('Resize', [1, 1, 96, 48], [1, 1, height, 112], attributes, (graph) => [
      none(graph),
      graph.constant([1, 1, 7 / 3, 7 / 3], [4]),
    ]);
    await expectTheirs(file, imagesOf([1, 1, 96, 48]));
  });
});

describe('windows with gaps that are as long as their strides', () => {
  it.each(['MaxPool', 'AveragePool'])('of %s', async (operator) => {
    const attributes = { kernel_shape: [2, 2], strides: [2, 2], dilations: [2, 2] };
    const found = await expectTheirs(single(operator, [1, 2, 7, 6], [1, 2, 3, 2], attributes), imagesOf([1, 2, 7, 6]));
    expect(found.shape).toEqual([1, 2, 3, 2]);
  });
});

describe('the zero vector', () => {
  const x = float32([0, 0, 3, 4], [2, 2]);
  const norm = (graph: OnnxGraph, images: OnnxNode) =>
    graph.node('ReduceL2', [images, graph.integers([1])], [2, 1], { attributes: { keepdims: 1 } });

  it('has a norm whose gradient is zero, as in PyTorch', async () => {
    const file = fileOf([2, 2], norm);
    expectNumbers(await expectTheirs(file, x), [0, 5]);
    expectNumbers((await gradientsOfFile(engine, file, x)).x as NdArray, [0, 0, 0.6, 0.8]);
  });

  it('is normalised with a gradient as PyTorch’s F.normalize exports it', async () => {
    const file = fileOf([2, 2], (graph, images) => {
      const clipped = graph.node('Clip', [norm(graph, images), graph.scalar(2 ** -10)], [2, 1]);
      return graph.node('Div', [images, graph.expand(clipped, [2, 2])], [2, 2]);
    });
    await expectTheirs(file, x);
    // below the limit x / limit; above it (1 - x sum(x) / norm^2) / norm
    expectNumbers((await gradientsOfFile(engine, file, x)).x as NdArray, [1024, 1024, 0.032, -0.024]);
  });

  it.each([1, 2])('stays zero in LpNormalization of p = %i', async (p) => {
    const file = single('LpNormalization', [2, 2], [2, 2], { axis: -1, p });
    await expectTheirs(file, x);
    expect((await gradientsOfFile(engine, file, x)).x?.data.every(Number.isFinite)).toBe(true);
  });

  // "In all modes, if the divisor is zero, Y == X", and MAX is X / max(X): the specification of ai.onnx.ml
  it.each([
    ['MAX', [0, 0, -1, 0, 1, 2, 1, -4]],
    ['L1', [0, 0, -1, 0, -2 / 6, -4 / 6, 1 / 5, -4 / 5]],
    ['L2', [0, 0, -1, 0, -2 / Math.sqrt(20), -4 / Math.sqrt(20), 1 / Math.sqrt(17), -4 / Math.sqrt(17)]],
  ])('stays zero in Normalizer of %s', async (kind, expected) => {
    const rows = float32([0, 0, -1, 0, -2, -4, 1, -4], [4, 2]);
    const file = fileOf([4, 2], (graph, images) =>
      graph.node('Normalizer', [images], [4, 2], { domain: 'ai.onnx.ml', attributes: { norm: kind } }),
    );
    expectNumbers(await tracedFile(engine, file, rows), expected);
    expect((await gradientsOfFile(engine, file, rows)).x?.data.every(Number.isFinite)).toBe(true);
  });
});

describe('weights', () => {
  it('of more than 2^20 numbers may have another name', async () => {
    const weights = draw('weights', [1024, 1025]);
    const file = fileOf([2, 1024], (graph, x) => {
      const matrix = graph.constant(weights.data, weights.shape);
      return graph.node('MatMul', [x, graph.node('Identity', [matrix], weights.shape)], [2, 1025]);
    });
    await expectTheirs(file, imagesOf([2, 1024]));
  });

  it('may be an exponent, which has a gradient', async () => {
    const file = single('Pow', [3], [3], {}, (graph) => [graph.constant([3], [1])]);
    expectNumbers(await expectTheirs(file, float32([-2, 0.5, 2], [3])), [-8, 0.125, 8]);
    const { x, ...weights } = await gradientsOfFile(engine, file, float32([0.5, 1, 2], [3]));
    expectNumbers(x as NdArray, [0.75, 3, 12]);
    // sum of x^3 log x
    expectNumbers(Object.values(weights)[0] as NdArray, [Math.log(2) * (8 - 0.125)]);
  });
});

describe('limits', () => {
  it.each([
    [0, 0],
    [1, 0],
    [0, 1],
    [1, 1],
  ])('CumSum adds up any number of numbers: exclusive %i, reverse %i', async (exclusive, reverse) => {
    const file = single('CumSum', [2, 1500, 2], [2, 1500, 2], { exclusive, reverse }, (graph) => [
      graph.constant([1], [], 'int64'),
    ]);
    await expectTheirs(file, imagesOf([2, 1500, 2]));
  });

  it('a constant that is too large is an operation that is not supported', async () => {
    const file = single('Col2Im', [1, 2048, 1], [1, 2, 32, 32], {}, (graph) => [
      graph.integers([32, 32]),
      graph.integers([32, 32]),
    ]);
    await expect(tracedFile(engine, file, imagesOf([1, 2048, 1]))).rejects.toMatchObject({
      reason: 'UNSUPPORTED_OPERATION',
      message: expect.stringMatching(/^Col2Im .*: a constant of shape .* has 2097152 numbers; the limit is 1048576/),
    });
  });

  it('a known value that is too large is an operation that is not supported', async () => {
    const file = fileOf([1], (graph, x) => {
      const line = graph.constant(
        Array.from({ length: 1100 }, (_, i) => i),
        [1100, 1],
        'int64',
      );
      const row = graph.node('Reshape', [line, graph.integers([1, 1100])], [1, 1100]);
      const square = graph.node('Mul', [line, row], [1100, 1100]);
      return graph.node(
        'Add',
        [x, graph.node('Cast', [square], [1100, 1100], { attributes: { to: 1 } })],
        [1100, 1100],
      );
    });
    await expect(tracedFile(engine, file, imagesOf([1]))).rejects.toMatchObject({
      reason: 'UNSUPPORTED_OPERATION',
      message: expect.stringMatching(/^Mul .*: its result would have the shape \[1100,1100\]; the limit is 1048576/),
    });
  });

  it('parts that do not fit together are an error that names their shapes', async () => {
    const file = single('Concat', [2, 3], [5, 3], { axis: 0 }, (graph) => [
      graph.constant(Array<number>(12).fill(1), [3, 4]),
    ]);
    await expect(tracedFile(engine, file, imagesOf([2, 3]))).rejects.toMatchObject({
      reason: 'SHAPE_MISMATCH',
      message: expect.stringMatching(/^Concat .*: \[2,3\] and \[3,4\] cannot be joined along axis 0/),
    });
  });
});

it('a triangle of infinities is a mask: what is left out is zero', async () => {
  const file = fileOf([3, 3], (graph, x) => {
    const all = graph.constant(Array<number>(9).fill(Number.NEGATIVE_INFINITY), [3, 3]);
    const mask = graph.node('Trilu', [all, graph.constant([1], [], 'int64')], [3, 3], { attributes: { upper: 1 } });
    return graph.node('Softmax', [graph.node('Add', [x, mask], [3, 3])], [3, 3], { attributes: { axis: -1 } });
  });
  const found = await expectTheirs(file, imagesOf([3, 3]));
  expect([found.data[0], found.data[1], found.data[2]]).toEqual([1, 0, 0]);
});

describe('withSoftplus around an imported model', () => {
  const x = float32([-1, 0, 2], [1, 3]);
  const smoothed = (file: Uint8Array) => tracedFile(engine, file, x, (body) => withSoftplus(2, body));

  it.each<[string, Uint8Array]>([
    ['Elu', single('Elu', [1, 3], [1, 3], { alpha: { float: 0.5 } })],
    ['Celu', single('Celu', [1, 3], [1, 3], { alpha: { float: 0.5 } })],
    ['Selu', single('Selu', [1, 3], [1, 3], {})],
    ['PRelu', single('PRelu', [1, 3], [1, 3], {}, (graph) => [graph.constant([0.25], [1])])],
  ])('leaves %s alone', async (_, file) => {
    await expectTheirs(file, x);
    expect([...(await smoothed(file)).data]).toEqual([...(await tracedFile(engine, file, x)).data]);
  });

  it('replaces ReLU', async () => {
    const softplus = [...x.data].map((number) => Math.log1p(Math.exp(2 * number)) / 2);
    expectNumbers(await smoothed(single('Relu', [1, 3], [1, 3], {})), softplus);
  });
});
