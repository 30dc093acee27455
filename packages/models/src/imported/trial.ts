import { type Engine, EngineError, float32, type NdArray, runOnnxFile, spec, specsOf } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { ModelError } from '../errors.ts';
import { scoresOf } from './classifier.ts';
import { relativeDifference } from './difference.ts';
import type { Reading, ScoreKind } from './manifest.ts';
import type { Source } from './source.ts';

/** Largest difference to ONNX Runtime, relative to the largest score. */
const TOLERANCE = 1e-3;

export interface Trial {
  readonly source: Source;
  readonly reading: Reading;
  readonly images: NdArray;
  readonly scores: NdArray;
}

/**
 * Scores of the images, which must be finite and must not depend on the others in their batch.
 * @throws EngineError UNSUPPORTED_OPERATION for a file that can only be used for the batch it was exported for
 */
export async function tryOut(engine: Engine, source: Source, reading: Reading, images: NdArray): Promise<NdArray> {
  const together = await run(engine, source, reading, images).catch((error) => {
    if (error instanceof EngineError && error.reason === 'SHAPE_MISMATCH')
      throw fixedBatch(source, error.message) ?? error;
    throw error;
  });
  const [first, size] = [await run(engine, source, reading, rowsOf(images, 0, 1)), images.shape[0] ?? 1];
  if (!together.data.every(Number.isFinite))
    throw unsupported(
      'the model gives scores that are not finite for random images in [0,1]: does it need a normalization?',
    );
  const why = 'the model gives an image other scores in a batch than alone';
  const isSteady = () => relativeDifference(rowsOf(together, 0, 1).data, first.data) <= TOLERANCE;
  if (together.data.length !== first.data.length * size || !isSteady())
    throw fixedBatch(source, why) ?? unsupported(why);
  return together;
}

function fixedBatch({ inputs }: Source, why: string): EngineError | undefined {
  const declared = inputs[0]?.shape[0];
  if (typeof declared !== 'number') return undefined;
  return new EngineError(
    'UNSUPPORTED_OPERATION',
    `it was exported for a fixed batch of ${declared} (export it with a dynamic one) and cannot be used for another: ${why}`,
  );
}

async function run(engine: Engine, source: Source, reading: Reading, images: NdArray): Promise<NdArray> {
  const forward = ({ parameters, x }: { parameters: Readonly<Record<string, Tensor>>; x: Tensor }) => ({
    scores: scoresOf(source, reading, parameters, x),
  });
  const specs = { parameters: specsOf(source.parameters), x: spec(...images.shape) };
  const compiled = await engine.compile(forward as never, specs as never, { name: 'import' });
  try {
    const { scores } = (await compiled.run({ parameters: source.parameters, x: images } as never)) as unknown as {
      scores: NdArray;
    };
    return scores;
  } finally {
    await compiled.release();
  }
}

/**
 * The same images through the file itself.
 * @throws ModelError UNSUPPORTED_MODEL if ONNX Runtime gives other scores, or any that are not finite
 */
export async function compareWithFile(
  engine: Engine,
  file: Uint8Array,
  { source, reading, images, scores }: Trial,
  whole: Source,
): Promise<void> {
  const declared = whole.inputs[0]?.shape[0];
  const [given = 1] = images.shape;
  const batch = typeof declared === 'number' ? declared : given;
  const fed = await run(engine, identityOf(source, reading), reading, repeatedTo(images, batch));
  const wanted = whole.outputs[0] ?? '';
  const results = await runOnnxFile(file, { [reading.inputName]: fed }, [wanted]);
  const expected = results[wanted];
  if (!expected) throw unsupported(`ONNX Runtime gave no '${wanted}'`);
  const ours = whole.softmaxInput ? softmaxOf(scores) : whole.sigmoidInput ? sigmoidOf(scores) : scores;
  const count = Math.min(batch, given);
  const [found, theirs] = [rowsOf(ours, 0, count).data, rowsOf(expected, 0, count).data];
  if (!theirs.every(Number.isFinite))
    throw unsupported('ONNX Runtime gives scores that are not finite for random images in [0,1]');
  const error = relativeDifference(found, theirs);
  if (!(error <= TOLERANCE))
    throw unsupported(
      `its scores differ from ONNX Runtime's by ${error.toPrecision(2)} of the largest: please report this file`,
    );
}

/** What the file is fed with, as if it were its output: the arrangement of images is written once. */
function identityOf(source: Source, { inputName, outputName }: Reading): Source {
  return {
    ...source,
    parameters: {},
    forward: (_, inputs) => ({ [outputName]: tf.clone(inputs[inputName] as Tensor) }),
  };
}

function repeatedTo(images: NdArray, count: number): NdArray {
  const [given = 1] = images.shape;
  const rows = Array.from({ length: count }, (_, i) => rowsOf(images, i % given, 1));
  const size = rows[0]?.data.length ?? 0;
  const data = new Float32Array(count * size);
  for (const [i, row] of rows.entries()) data.set(row.data as Float32Array, i * size);
  return float32(data, [count, ...images.shape.slice(1)]);
}

function rowsOf({ data, shape: [count = 1, ...rest] }: NdArray, from: number, rows: number): NdArray {
  const size = data.length / count;
  return float32((data as Float32Array).slice(from * size, (from + rows) * size), [rows, ...rest]);
}

function softmaxOf({ data, shape }: NdArray): NdArray {
  const [count = 1] = shape;
  const size = data.length / count;
  const rows = Array.from({ length: count }, (_, i) => Array.from(data.slice(i * size, (i + 1) * size)));
  const softened = rows.flatMap((row) => {
    const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const powers = row.map((value) => Math.exp(value - most));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  });
  return float32(softened, shape);
}

function sigmoidOf({ data, shape }: NdArray): NdArray {
  return float32(
    Float32Array.from(data, (value) => 1 / (1 + Math.exp(-value))),
    shape,
  );
}

/** What the scores are: their values say so, unless they were taken before a sigmoid, or are one number that may be any. */
export function kindOf(
  { data, shape: [count = 1] }: NdArray,
  { sigmoidInput, isAffine = false }: Pick<Source, 'sigmoidInput' | 'isAffine'>,
): ScoreKind {
  const size = data.length / count;
  if (size === 1) {
    const isScore = sigmoidInput !== undefined || isAffine;
    return !isScore && data.every((p) => p >= 0 && p <= 1) ? 'probability' : 'logit';
  }
  if (sigmoidInput !== undefined) return 'logits';
  const rows = Array.from({ length: count }, (_, i) => Array.from(data.slice(i * size, (i + 1) * size)));
  const sumsToOne = (row: readonly number[]) => Math.abs(row.reduce((sum, value) => sum + value, 0) - 1) < 1e-3;
  if (rows.every((row) => row.every((value) => value >= 0) && sumsToOne(row))) return 'probabilities';
  if (rows.every((row) => row.every((value) => value <= 0) && sumsToOne(row.map(Math.exp)))) return 'log-probabilities';
  return 'logits';
}

export function unsupported(message: string): ModelError {
  return new ModelError('UNSUPPORTED_MODEL', 'files', message);
}
