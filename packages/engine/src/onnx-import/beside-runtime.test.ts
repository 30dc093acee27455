import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../engine.ts';
import { float32, type NdArray } from '../ndarray.ts';
import { relativeError } from '../testing.ts';
import { importOnnx } from './import.ts';
import { runOnnxFile } from './run-file.ts';
import { fileOf, imagesOf, tracedFile } from './testing.ts';

// Single operators, written here, beside ONNX Runtime: what no exporter of the golden files writes.

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

/** The same file for an older operator set: its number is the last byte of the file's first entry. */
function ofOpset(file: Uint8Array, opset: number): Uint8Array {
  const changed = Buffer.from(file);
  const at = changed.lastIndexOf(Buffer.from([0x10, 20]));
  changed[at + 1] = opset;
  return new Uint8Array(changed);
}

const ours = (file: Uint8Array, x: NdArray) => tracedFile(engine, file, x);

describe('Resize to the nearest pixel', () => {
  // 0.7 and 1.6 are no float32: which of two pixels is nearer hangs on the last bit
  it.each(['half_pixel', 'pytorch_half_pixel', 'asymmetric', 'align_corners'])('%s', async (mode) => {
    for (const nearest of ['round_prefer_floor', 'floor', 'ceil']) {
      const file = fileOf([1, 1, 32, 32], (graph, x) =>
        graph.node('Resize', [x, graph.constant([], [0]), graph.constant([1, 1, 0.7, 1.6], [4])], [1, 1, 22, 51], {
          attributes: { mode: 'nearest', coordinate_transformation_mode: mode, nearest_mode: nearest },
        }),
      );
      const x = imagesOf([1, 1, 32, 32]);
      const { y } = await runOnnxFile(file, { x }, ['y']);
      expect(relativeError(await ours(file, x), y as NdArray), nearest).toBe(0);
    }
  });
});

describe('Col2Im', () => {
  const file = (columns: readonly number[], image: readonly number[], kernel: readonly number[], attributes: object) =>
    fileOf(columns, (graph, x) =>
      graph.node(
        'Col2Im',
        [x, graph.constant(image, [2], 'int64'), graph.constant(kernel, [2], 'int64')],
        [2, 3, ...image],
        {
          attributes: { ...attributes },
        },
      ),
    );

  it.each([
    ['windows that lie apart', [2, 12, 6], [4, 6], [2, 2], { strides: [2, 2] }],
    ['windows that overlap', [2, 18, 16], [5, 7], [3, 2], { strides: [1, 2], pads: [1, 1, 0, 1] }],
    ['windows with gaps', [2, 12, 16], [6, 6], [2, 2], { dilations: [2, 2] }],
  ])('of %s', async (_, columns, image, kernel, attributes) => {
    const made = file(columns, image, kernel, attributes);
    const x = imagesOf(columns);
    const { y } = await runOnnxFile(made, { x }, ['y']);
    expect(relativeError(await ours(made, x), y as NdArray)).toBeLessThan(1e-6);
  });

  it('of columns that no such windows give is an error that names them', async () => {
    await expect(
      ours(file([2, 12, 7], [4, 6], [2, 2], { strides: [2, 2] }), imagesOf([2, 12, 7])),
    ).rejects.toMatchObject({
      reason: 'SHAPE_MISMATCH',
      message: expect.stringMatching(
        /^Col2Im .*: columns \[2,12,7\] are none of windows of \[2,2\] over images of \[4,6\]$/,
      ),
    });
  });
});

describe('further outputs', () => {
  const pooled = (uses: boolean) =>
    fileOf([1, 1, 4, 4], (graph, x) => {
      const attributes = { kernel_shape: [2, 2] };
      const pool = graph.node('MaxPool', [x], [1, 1, 3, 3], { attributes });
      const places = graph.node('MaxPool', [x], [1, 1, 3, 3], { attributes, slot: 1 });
      return uses
        ? graph.node('Add', [pool, graph.node('Cast', [places], [1, 1, 3, 3], { attributes: { to: 1 } })], [1, 1, 3, 3])
        : pool;
    });

  it('that no row gives are an error naming the operator where they are used', async () => {
    const x = imagesOf([1, 1, 4, 4]);
    await expect(ours(pooled(true), x)).rejects.toMatchObject({
      reason: 'UNSUPPORTED_OPERATION',
      message: expect.stringMatching(/^MaxPool \(node .*\): its output 1, which is used, is not supported$/),
    });
    expect((await ours(pooled(false), x)).shape).toEqual([1, 1, 3, 3]);
  });
});

describe('training mode is refused', () => {
  const shape = [2, 3, 2, 2];
  const normalized = (slot: number) =>
    fileOf(shape, (graph, x) =>
      graph.node('BatchNormalization', [x, ...[1, 2, 3, 4].map((v) => graph.constant([v, v, v], [3]))], shape, {
        slot,
      }),
    );
  const dropped = (isTraining: number) =>
    fileOf(shape, (graph, x) =>
      graph.node('Dropout', [x, graph.scalar(0.5), graph.constant([isTraining], [], 'bool')], shape),
    );

  it.each<[string, Uint8Array]>([
    ['Dropout', dropped(1)],
    ['BatchNormalization', ofOpset(normalized(1), 9)], // before operator set 14 a second output says so
  ])('of %s', async (operator, file) => {
    await expect(ours(file, imagesOf(shape))).rejects.toMatchObject({
      reason: 'UNSUPPORTED_OPERATION',
      message: expect.stringMatching(new RegExp(`^${operator} .*: training mode: export the model after model.eval`)),
    });
  });

  it('and inference is not', async () => {
    const x = imagesOf(shape);
    expect([...(await ours(dropped(0), x)).data]).toEqual([...x.data]);
    const file = ofOpset(normalized(0), 9);
    expect((await importOnnx(file)).opset).toBe(9);
    expect(relativeError(await ours(file, x), (await runOnnxFile(file, { x }, ['y'])).y as NdArray)).toBeLessThan(1e-6);
  });
});

it('zeros that are padded before a maximum count, in ONNX Runtime too', async () => {
  const file = fileOf([1, 1, 2, 2], (graph, x) =>
    graph.node('MaxPool', [graph.pad(x, [0, 0, 1, 1], [0, 0, 1, 1])], [1, 1, 2, 2], {
      attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    }),
  );
  const x = float32([-1, -2, -3, -4], [1, 1, 2, 2]);
  expect([...(await ours(file, x)).data]).toEqual([0, 0, 0, 0]);
  expect([...((await runOnnxFile(file, { x }, ['y'])).y as NdArray).data]).toEqual([0, 0, 0, 0]);
});
