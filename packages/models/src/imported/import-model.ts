import { createHash } from 'node:crypto';
import { type Engine, float32, type NdArray, runOnnxFile, sizeOf, spec, uniform } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import type { CheckpointFiles } from '../checkpoint.ts';
import { ModelError } from '../errors.ts';
import { specsOf } from '../predict.ts';
import { scoresOf } from './classifier.ts';
import {
  IMPORT_VERSION,
  type ImportManifest,
  imageShapeSchema,
  importManifestSchema,
  layouts,
  MANIFEST,
  normalizationSchema,
  type Reading,
  type ScoreKind,
} from './manifest.ts';
import { readInput } from './shapes.ts';
import { ONNX_FILE, readSource, type Source } from './source.ts';

export const importOptionsSchema = z.strictObject({
  name: z.string().max(200).default('').describe('for people, e.g. the name of the file'),
  input: imageShapeSchema.optional().describe('only where the file does not say'),
  layout: z.enum(layouts).optional().describe('only where the shape does not tell'),
  output: z.string().optional().describe('which output of an ONNX file gives the scores; by default the first'),
  normalization: normalizationSchema
    .default({ mean: [0], deviation: [1] })
    .describe('for a model that does not normalise its images itself'),
  labels: z.array(z.string().max(200)).readonly().default([]).describe('names of the classes'),
});

export type ImportOptions = z.input<typeof importOptionsSchema>;

/** Random images that a model is tried on. */
const TRIALS = 4;
/** Largest difference to ONNX Runtime, relative to the largest score. */
const TOLERANCE = 1e-3;

/**
 * Checks a foreign model and makes an artefact of it: its files and a manifest. It is run on random images, alone and in a batch, and, if it is
 * ONNX, compared with ONNX Runtime: so what is attacked later is the model that was given.
 * @param files `model.onnx`, or `model.json` with its weight files
 * @throws EngineError naming an operator that is not known, or what is malformed; ModelError naming the setting that does not fit
 */
export async function importModel(
  engine: Engine,
  files: CheckpointFiles,
  options: ImportOptions = {},
): Promise<CheckpointFiles> {
  const parsed = importOptionsSchema.safeParse(options);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const field = issue?.path.map(String).join('.') ?? '';
    throw new ModelError('INVALID_SETTING', field, `${field || 'settings'}: ${issue?.message ?? 'invalid'}`);
  }
  const { name, normalization, labels, output, ...given } = parsed.data;
  const whole = await readSource(files, output);
  const [entry, ...others] = whole.inputs;
  if (!entry || others.length > 0)
    throw unsupported(
      `the model has the inputs ${whole.inputs.map((input) => input.name).join(', ')}; it must have one`,
    );
  const { input, layout, imageShape } = readInput(entry, given);
  if (normalization.mean.length > 1 || normalization.deviation.length > 1)
    for (const [key, list] of Object.entries(normalization))
      if (list.length !== 1 && list.length !== input[2])
        throw new ModelError(
          'INVALID_SETTING',
          `normalization.${key}`,
          `${list.length} numbers for images of ${input[2]} channels`,
        );
  const source = whole.softmaxInput === undefined ? whole : await readSource(files, whole.softmaxInput);
  const reading: Reading = {
    format: source.format,
    producer: source.producer,
    inputName: entry.name,
    outputName: source.outputs[0] ?? '',
    layout,
    imageShape,
    scores: 'logits',
    normalization,
  };
  const images = float32(uniform({ seed: 1, stream: 'import' }, TRIALS * sizeOf(input)), [TRIALS, ...input]);
  const scores = await tryOut(engine, source, reading, images);
  const classes = classesOf(scores, labels);
  const isCompared = whole.tensorOutputs.includes(whole.outputs[0] ?? '');
  if (files[ONNX_FILE] && isCompared)
    await compareWithFile(engine, files[ONNX_FILE], { source, reading, images, scores }, whole);
  const kind = kindOf(scores);
  const manifest: ImportManifest = {
    version: IMPORT_VERSION,
    kind: 'imported',
    name,
    model: { architecture: source.format, input, classes },
    labels,
    reading: { ...reading, scores: kind },
    remarks: [
      ...remarksOn(kind, whole),
      ...(isCompared ? [] : ['its scores could not be compared with those of another runtime']),
    ],
    files: Object.fromEntries(
      Object.entries(files).map(([path, bytes]) => [path, createHash('sha256').update(bytes).digest('hex')]),
    ),
  };
  const bytes = new TextEncoder().encode(`${JSON.stringify(importManifestSchema.parse(manifest), undefined, 2)}\n`);
  return { [MANIFEST]: bytes, ...files };
}

interface Trial {
  readonly source: Source;
  readonly reading: Reading;
  readonly images: NdArray;
  readonly scores: NdArray;
}

/** Scores of the images, which must be finite and must not depend on the others in their batch. */
async function tryOut(engine: Engine, source: Source, reading: Reading, images: NdArray): Promise<NdArray> {
  const together = await run(engine, source, reading, images);
  const [first, size] = [await run(engine, source, reading, rowsOf(images, 0, 1)), images.shape[0] ?? 1];
  if (!together.data.every(Number.isFinite))
    throw unsupported(
      'the model gives scores that are not finite for random images in [0,1]: does it need a normalization?',
    );
  if (together.data.length !== first.data.length * size || difference(rowsOf(together, 0, 1), first) > TOLERANCE)
    throw unsupported(
      'the model gives an image other scores in a batch than alone: it was exported for a fixed batch size; export it with a dynamic one',
    );
  return together;
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

/** The class axis of [N, classes], perhaps with axes of 1 behind it, as fully convolutional networks have it. */
function classesOf({ shape }: NdArray, labels: readonly string[]): number {
  const [, classes = 1, ...rest] = shape;
  if (shape.length < 2 || classes < 2 || rest.some((size) => size !== 1))
    throw unsupported(
      `its output has the shape [${shape}] for ${TRIALS} images; a classifier gives [${TRIALS}, classes] with at least 2 classes`,
    );
  if (labels.length > 0 && labels.length !== classes)
    throw new ModelError(
      'INVALID_SETTING',
      'labels',
      `${labels.length} labels were given, the model tells ${classes} classes apart`,
    );
  return classes;
}

/** The same images through the file itself. */
async function compareWithFile(
  engine: Engine,
  file: Uint8Array,
  { source, reading, images, scores }: Trial,
  whole: Source,
): Promise<void> {
  const declared = whole.inputs[0]?.shape[0];
  const batch = typeof declared === 'number' ? declared : TRIALS;
  const fed = await run(engine, identityOf(source, reading), reading, repeatedTo(images, batch));
  const wanted = whole.outputs[0] ?? '';
  const results = await runOnnxFile(file, { [reading.inputName]: fed }, [wanted]);
  const expected = results[wanted];
  if (!expected) throw unsupported(`ONNX Runtime gave no '${wanted}'`);
  const ours = whole.softmaxInput === undefined ? scores : softmaxOf(scores);
  const count = Math.min(batch, TRIALS);
  const error = difference(rowsOf(ours, 0, count), rowsOf(expected, 0, count));
  if (error > TOLERANCE)
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
  const rows = Array.from({ length: count }, (_, i) => rowsOf(images, i % TRIALS, 1));
  const size = rows[0]?.data.length ?? 0;
  const data = new Float32Array(count * size);
  for (const [i, row] of rows.entries()) data.set(row.data as Float32Array, i * size);
  return float32(data, [count, ...images.shape.slice(1)]);
}

function rowsOf({ data, shape: [count = 1, ...rest] }: NdArray, from: number, rows: number): NdArray {
  const size = data.length / count;
  return float32((data as Float32Array).slice(from * size, (from + rows) * size), [rows, ...rest]);
}

/** Largest difference relative to the largest number. */
function difference(a: NdArray, b: NdArray): number {
  const scale = Math.max(1e-6, ...Array.from(b.data, Math.abs));
  return Math.max(...Array.from(a.data, (value, i) => Math.abs(value - (b.data[i] ?? Number.NaN)) / scale));
}

function softmaxOf({ data, shape }: NdArray): NdArray {
  const [count = 1] = shape;
  const size = data.length / count;
  const rows = Array.from({ length: count }, (_, i) => Array.from(data.slice(i * size, (i + 1) * size)));
  const softened = rows.flatMap((row) => {
    const powers = row.map((value) => Math.exp(value - Math.max(...row)));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  });
  return float32(softened, shape);
}

/** What the scores are: their values say so, whatever the file is made of. */
function kindOf({ data, shape: [count = 1] }: NdArray): ScoreKind {
  const size = data.length / count;
  const rows = Array.from({ length: count }, (_, i) => Array.from(data.slice(i * size, (i + 1) * size)));
  const sumsToOne = (row: readonly number[]) => Math.abs(row.reduce((sum, value) => sum + value, 0) - 1) < 1e-3;
  if (rows.every((row) => row.every((value) => value >= 0) && sumsToOne(row))) return 'probabilities';
  if (rows.every((row) => row.every((value) => value <= 0) && sumsToOne(row.map(Math.exp)))) return 'log-probabilities';
  return 'logits';
}

function remarksOn(kind: ScoreKind, { softmaxInput }: Source): string[] {
  if (softmaxInput !== undefined) return [`the file ends in a softmax; its input '${softmaxInput}' is used as logits`];
  if (kind === 'probabilities')
    return [
      'the file gives probabilities; their logarithms are used as logits, which are flat where a probability is below 1e-30',
    ];
  return kind === 'log-probabilities' ? ['the file gives log-probabilities, which are used as logits'] : [];
}

function unsupported(message: string): ModelError {
  return new ModelError('UNSUPPORTED_MODEL', 'files', message);
}
