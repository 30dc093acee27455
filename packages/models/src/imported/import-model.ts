import { createHash } from 'node:crypto';
import {
  createEngine,
  type Engine,
  EngineError,
  float32,
  inlineOnnx,
  type NdArray,
  sizeOf,
  uniform,
} from '@jsigr/engine';
import * as z from 'zod';
import type { CheckpointFiles } from '../checkpoint.ts';
import { ModelError } from '../errors.ts';
import { type Oracle, oracleOfFile, tryOracle } from './black-box.ts';
import {
  type Endpoint,
  IMPORT_VERSION,
  type ImportManifest,
  imageShapeSchema,
  importManifestSchema,
  LIMITS,
  layouts,
  MANIFEST,
  normalizationSchema,
  type Reading,
  type ScoreKind,
} from './manifest.ts';
import { readInput } from './shapes.ts';
import { ONNX_FILE, readSource, type Source } from './source.ts';
import { compareWithFile, kindOf, tryOut, unsupported } from './trial.ts';

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
/**
 * Checks a foreign model and makes an artefact of it: its files and a manifest. It is run on random images, alone and in a batch, and, if it is
 * ONNX, compared with ONNX Runtime: so what is attacked later is the model that was given.
 * @param files `model.onnx`, perhaps with files of weights, which become part of it; or `model.json` with its weight files
 * @throws EngineError naming an operator that is not known, or what is malformed; ModelError naming the setting that does not fit
 */
export async function importModel(files: CheckpointFiles, options: ImportOptions = {}): Promise<CheckpointFiles> {
  const engine = await createEngine({ threads: 1 });
  try {
    return await importOn(engine, wholeFiles(files), parseOptions(options));
  } finally {
    await engine.dispose();
  }
}

/** An ONNX file with the weights that lie in files beside it: no runtime is left to look for them on this machine's disk. */
function wholeFiles(files: CheckpointFiles): CheckpointFiles {
  const { [ONNX_FILE]: file, ...rest } = files;
  if (!file) return files;
  const taken = new Set<string>();
  const whole = inlineOnnx(file, (location) => {
    taken.add(location);
    return Object.hasOwn(rest, location) ? rest[location] : undefined;
  });
  return { ...Object.fromEntries(Object.entries(rest).filter(([path]) => !taken.has(path))), [ONNX_FILE]: whole };
}

type ParsedOptions = z.output<typeof importOptionsSchema>;

/** White-box if every operation is known here; a file that only ONNX Runtime knows how to run is asked. */
async function importOn(engine: Engine, files: CheckpointFiles, options: ParsedOptions): Promise<CheckpointFiles> {
  try {
    return await importTraced(engine, files, options);
  } catch (error) {
    const isForeign = error instanceof EngineError && ['UNSUPPORTED_OPERATION', 'NO_GRADIENT'].includes(error.reason);
    const file = files[ONNX_FILE];
    if (!file || !isForeign) throw error;
    return importFile(file, files, options, error.message.replace(/: its row belongs .*/, ''));
  }
}

async function importTraced(engine: Engine, files: CheckpointFiles, options: ParsedOptions): Promise<CheckpointFiles> {
  const whole = await readSource(files, options.output);
  const { normalization, output: _, name, labels, ...given } = options;
  const entry = onlyInput(whole);
  if (entry.dtype !== 'float32')
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `its input '${entry.name}' takes whole numbers, which have no gradient`,
    );
  const { input, layout, imageShape } = readInput(entry, given);
  checkNormalization(normalization, input[2]);
  const before = whole.softmaxInput ?? whole.sigmoidInput;
  const source = before === undefined ? whole : await readSource(files, before);
  const { format, producer } = source;
  const [outputName = ''] = source.outputs;
  const names = { format, producer, inputName: entry.name, outputName };
  const reading: Reading = { ...names, layout, imageShape, scores: 'logits', normalization };
  const images = float32(uniform({ seed: 1, stream: 'import' }, TRIALS * sizeOf(input)), [TRIALS, ...input]);
  const scores = await tryOut(engine, source, reading, images);
  const classes = classesOf(scores, labels, whole);
  if (whole.softmaxInput !== undefined && scores.data.length === TRIALS)
    throw unsupported('the file ends in a softmax over one class, which is 1 for every image');
  const isCompared = whole.tensorOutputs.includes(whole.outputs[0] ?? '');
  if (files[ONNX_FILE] && isCompared)
    await compareWithFile(engine, files[ONNX_FILE], { source, reading, images, scores }, whole);
  const kind = kindOf(scores, whole);
  const remarks = [
    ...remarksOn(kind, whole),
    ...(isCompared ? [] : ['its scores could not be compared with those of another runtime']),
  ];
  return artefactOf(files, { name, labels, input, classes, reading: { ...reading, scores: kind }, remarks });
}

async function importFile(
  file: Uint8Array,
  files: CheckpointFiles,
  options: ParsedOptions,
  why: string,
): Promise<CheckpointFiles> {
  const oracle = await oracleOfFile(file).catch((cause) => {
    throw unsupported(`${why}. It cannot be asked as a black box either: ${(cause as Error).message}`);
  });
  try {
    const blackBox = `ONNX Runtime runs the file as it is, because ${why}`;
    return await importOracle(oracle, files, options, { format: 'onnx', producer: 'unknown', blackBox });
  } finally {
    oracle.close();
  }
}

/**
 * Tries a live endpoint and makes an artefact of it: a manifest that says where it lives and how it is asked.
 * @throws ModelError naming the setting that does not fit, or what the endpoint does not give
 */
export async function importEndpoint(
  oracle: Oracle,
  endpoint: Endpoint,
  options: ImportOptions = {},
): Promise<CheckpointFiles> {
  const blackBox = `it is a live endpoint, ${endpoint.url}`;
  const kind = { format: 'endpoint' as const, producer: 'Open Inference Protocol', blackBox, endpoint };
  return importOracle(oracle, {}, parseOptions(options), kind);
}

async function importOracle(
  oracle: Oracle,
  files: CheckpointFiles,
  { normalization: wanted, labels, output, name, ...given }: ParsedOptions,
  { format, producer, ...kind }: Pick<Reading, 'format' | 'producer'> & Pick<ImportManifest, 'blackBox' | 'endpoint'>,
): Promise<CheckpointFiles> {
  const entry = onlyInput(oracle);
  const normalization = entry.isBytes && wanted.deviation.every((value) => value === 1) ? BYTES : wanted;
  const { input, layout, imageShape } = readInput(entry, given);
  checkNormalization(normalization, input[2]);
  const outputName = output ?? oracle.outputs[0];
  if (outputName === undefined)
    throw unsupported('none of its outputs is a tensor of floating-point scores (skl2onnx: export it without ZipMap)');
  if (!oracle.outputs.includes(outputName))
    throw new ModelError(
      'INVALID_SETTING',
      'output',
      `${outputName} gives no floating-point scores; its outputs of such numbers are ${oracle.outputs.join(', ')}`,
    );
  const names = { format, producer, inputName: entry.name, outputName };
  const reading: Reading = { ...names, layout, imageShape, scores: 'logits', normalization };
  const { scores, isSteady } = await tryOracle(oracle, reading, input);
  const classes = classesOf(scores, labels, oracle);
  const scoreKind = kindOf(scores, {});
  const remarks = [
    ...remarksOn(scoreKind, {}),
    ...(entry.isBytes ? ['it takes bytes: what is made of images is rounded to whole numbers from 0 to 255'] : []),
    ...(isSteady ? [] : ['it gives the same image other scores in a batch than alone: it may draw random numbers']),
  ];
  return artefactOf(files, {
    name,
    labels,
    input,
    classes,
    reading: { ...reading, scores: scoreKind },
    remarks,
    ...kind,
  });
}

const BYTES = { mean: [0], deviation: [1 / 255] };

type Facts = Pick<ImportManifest, 'name' | 'labels' | 'reading' | 'remarks' | 'blackBox' | 'endpoint'> &
  Pick<ImportManifest['model'], 'input' | 'classes'>;

function artefactOf(files: CheckpointFiles, { input, classes, reading, ...facts }: Facts): CheckpointFiles {
  const manifest: ImportManifest = {
    version: IMPORT_VERSION,
    kind: 'imported',
    ...facts,
    reading: { ...reading, producer: shortened(reading.producer, LIMITS.producer) },
    remarks: facts.remarks.map((remark) => shortened(remark, LIMITS.text)),
    ...(facts.blackBox !== undefined && { blackBox: shortened(facts.blackBox, LIMITS.text) }),
    model: { architecture: reading.format, input, classes },
    files: Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path, sha256(bytes)])),
  };
  const bytes = new TextEncoder().encode(`${JSON.stringify(importManifestSchema.parse(manifest), undefined, 2)}\n`);
  return { [MANIFEST]: bytes, ...files };
}

/** The names in a file may be of any length and hold what a terminal obeys. */
function shortened(text: string, most: number): string {
  const plain = text.replaceAll(/\p{Cc}/gu, '?');
  return plain.length > most ? `${plain.slice(0, most - 3)}...` : plain;
}

function parseOptions(options: ImportOptions): ParsedOptions {
  const parsed = importOptionsSchema.safeParse(options);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.map(String).join('.') ?? '';
  throw new ModelError('INVALID_SETTING', field, `${field || 'settings'}: ${issue?.message ?? 'invalid'}`);
}

function onlyInput({ inputs }: Pick<Source, 'inputs'>): Source['inputs'][number] {
  const [entry, ...others] = inputs;
  if (entry && others.length === 0) return entry;
  throw unsupported(
    `the model has the inputs ${inputs.map(({ name }) => name).join(', ') || '(none)'}; it must have one`,
  );
}

/** One number counts for all channels. */
function checkNormalization(normalization: Reading['normalization'], channels: number): void {
  for (const [key, list] of Object.entries(normalization))
    if (list.length !== 1 && list.length !== channels)
      throw new ModelError(
        'INVALID_SETTING',
        `normalization.${key}`,
        `${list.length} numbers for images of ${channels} channels`,
      );
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The class axis of [N, classes], perhaps with axes of 1 behind it, as fully convolutional networks have it. One number tells two classes apart. */
function classesOf({ shape }: NdArray, labels: readonly string[], { outputs }: Pick<Source, 'outputs'>): number {
  const [, columns = 1, ...rest] = shape;
  if (shape.length < 1 || columns < 1 || rest.some((size) => size !== 1))
    throw unsupported(
      `its output has the shape [${shape}] for ${TRIALS} images; a classifier gives [${TRIALS}, classes], or one number each for two classes; outputs that can be asked for: ${outputs.join(', ')}`,
    );
  const classes = Math.max(columns, 2);
  if (classes > LIMITS.classes)
    throw unsupported(`the model tells ${classes} classes apart; at most ${LIMITS.classes} are allowed`);
  if (labels.length > 0 && labels.length !== classes)
    throw new ModelError(
      'INVALID_SETTING',
      'labels',
      `${labels.length} labels were given, the model tells ${classes} classes apart`,
    );
  return classes;
}

function remarksOn(kind: ScoreKind, { softmaxInput, sigmoidInput }: Partial<Source>): string[] {
  const before = softmaxInput ?? sigmoidInput;
  const end = softmaxInput === undefined ? 'sigmoid' : 'softmax';
  const stripped = before === undefined ? [] : [`the file ends in a ${end}; its input '${before}' is used as logits`];
  if (kind === 'logit') return [...stripped, 'it gives one score, above 0 for class 1 and below for class 0'];
  if (kind === 'probability')
    return [
      'it gives one score, which is read as the probability of class 1: all that it gave for random images lay in [0,1]',
    ];
  if (stripped.length > 0) return stripped;
  if (kind === 'probabilities')
    return [
      'it gives probabilities; their logarithms are used as logits, which are flat where a probability is below 1e-30',
    ];
  return kind === 'log-probabilities' ? ['it gives log-probabilities, which are used as logits'] : [];
}
