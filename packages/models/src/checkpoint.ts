import { createHash } from 'node:crypto';
import { type NdArray, readSafetensors, type StoredTensor, writeSafetensors } from '@jsigr/engine';
import * as z from 'zod';
import { ModelError } from './errors.ts';
import { ONNX_FILE } from './imported/source.ts';
import { IMPORTED_ARCHITECTURE, importedSpecSchema, isImported, type NetworkSpec } from './imported/spec.ts';
import { checkParameters, MAX_SEED, modelSpecSchema, resolveModelSpec } from './model-spec.ts';

/** The files of an artefact by name; a store writes them at once and names them by digest. */
export type CheckpointFiles = Readonly<Record<string, Uint8Array>>;

export const CHECKPOINT_VERSION = 1;
const MANIFEST = 'manifest.json';
const WEIGHTS = 'weights.safetensors';
const OPTIMIZER = 'optimizer.safetensors';
const MAX_MANIFEST_BYTES = 1_000_000;

const count = z.int().min(0);
const jsonRecord = z.record(z.string(), z.json());
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits');

const descriptionSchema = z.strictObject({
  run: z.string().min(1).max(200).describe('identifier of the training run'),
  step: count.describe('optimiser steps made'),
  epoch: count.describe('whole epochs made'),
  model: modelSpecSchema,
  dataset: z.strictObject({
    name: z.string().max(200),
    digest: z.string().max(200).describe('digest of the imported dataset, empty where it has none'),
  }),
  objective: z.strictObject({ name: z.string().max(100), settings: jsonRecord }),
  configuration: jsonRecord.describe('the whole training configuration'),
  seed: z.int().min(0).max(MAX_SEED),
  engine: jsonRecord.describe('engine, threads and version: equal values give bit-identical weights'),
  metrics: z.record(z.string(), z.number()).describe('e.g. trainLoss, heldOutAccuracy'),
});

const manifestSchema = descriptionSchema.extend({
  version: z.literal(CHECKPOINT_VERSION),
  files: z.strictObject({ [WEIGHTS]: sha256, [OPTIMIZER]: sha256 }),
});
const importedManifestSchema = manifestSchema.extend({ model: importedSpecSchema });
type Manifest = z.output<typeof manifestSchema> | z.output<typeof importedManifestSchema>;

/** A moment of a training run: what it is, its weights, and the optimiser's state, so that training can go on from here. */
export interface Checkpoint extends Omit<z.output<typeof descriptionSchema>, 'model'> {
  readonly model: NetworkSpec;
  readonly parameters: Readonly<Record<string, NdArray>>;
  /** State arrays named `slot/parameter`, e.g. `momentum/conv1.weight`; empty for an optimiser without state. */
  readonly optimizer: Readonly<Record<string, NdArray>>;
  /** `model.onnx` of an imported network; absent for one of the zoo. */
  readonly foreign?: CheckpointFiles;
}

/**
 * The files of a checkpoint: `manifest.json`, `weights.safetensors`, `optimizer.safetensors`, and `model.onnx` where the network was imported.
 * Equal checkpoints give equal bytes.
 * @throws ModelError if the parameters do not fit the architecture, or a field is out of range.
 */
export function encodeCheckpoint(checkpoint: Checkpoint): CheckpointFiles {
  const { parameters, optimizer, foreign = {}, ...description } = checkpoint;
  checkTensors(description.model, parameters, optimizer);
  const beside = foreignFiles(description.model, foreign);
  const weights = writeSafetensors(parameters, {
    format: 'jsigr',
    layout: 'convolutions are [height, width, in, out]',
  });
  const state = writeSafetensors(optimizer, { format: 'jsigr' });
  const manifest = schemaOf(description.model).safeParse({
    version: CHECKPOINT_VERSION,
    ...description,
    files: { [WEIGHTS]: digest(weights), [OPTIMIZER]: digest(state) },
  });
  if (!manifest.success) throw malformed(issueOf(manifest.error));
  const bytes = new TextEncoder().encode(`${JSON.stringify(manifest.data, undefined, 2)}\n`);
  if (bytes.length > MAX_MANIFEST_BYTES)
    throw malformed({
      field: MANIFEST,
      message: `the manifest takes ${bytes.length} bytes, over ${MAX_MANIFEST_BYTES}`,
    });
  return { [MANIFEST]: bytes, [WEIGHTS]: weights, [OPTIMIZER]: state, ...beside };
}

/** The description of an imported network is another one; what is neither is told what one of the zoo lacks. */
function schemaOf(model: unknown): typeof manifestSchema | typeof importedManifestSchema {
  const { architecture } = z.looseObject({ architecture: z.unknown() }).safeParse(model).data ?? {};
  return architecture === IMPORTED_ARCHITECTURE ? importedManifestSchema : manifestSchema;
}

/** The files that an imported network is opened from, copied: whoever has them may move them to another thread. */
function foreignFiles(model: NetworkSpec, files: CheckpointFiles): CheckpointFiles {
  if (!isImported(model)) return {};
  const bytes = fileOf(files, ONNX_FILE);
  checkDigest(ONNX_FILE, bytes, model.file);
  return { [ONNX_FILE]: new Uint8Array(bytes) };
}

/**
 * Reads and verifies a checkpoint. Nothing in the files is trusted.
 * @throws ModelError MALFORMED_CHECKPOINT, UNSUPPORTED_VERSION, DIGEST_MISMATCH, UNKNOWN_ARCHITECTURE or PARAMETER_MISMATCH, naming the file or field.
 */
export function decodeCheckpoint(files: CheckpointFiles): Checkpoint {
  const { version: _, files: digests, ...description } = readManifest(fileOf(files, MANIFEST));
  const parameters = readTensors(files, WEIGHTS, digests[WEIGHTS]);
  const optimizer = readTensors(files, OPTIMIZER, digests[OPTIMIZER]);
  const model = 'reading' in description.model ? description.model : resolveModelSpec(description.model);
  checkTensors(model, parameters, optimizer);
  const foreign = foreignFiles(model, files);
  return {
    ...description,
    model,
    parameters,
    optimizer,
    ...(isImported(model) ? { foreign } : {}),
  };
}

function readManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES)
    throw malformed({
      field: MANIFEST,
      message: `the manifest takes ${bytes.length} bytes, over ${MAX_MANIFEST_BYTES}`,
    });
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw malformed({ field: MANIFEST, message: 'the manifest is not JSON in UTF-8 (truncated?)' }, cause);
  }
  const version = z.looseObject({ version: z.unknown() }).safeParse(json).data?.version;
  if (version !== undefined && version !== CHECKPOINT_VERSION)
    throw new ModelError(
      'UNSUPPORTED_VERSION',
      'version',
      `the checkpoint has format version ${JSON.stringify(version).slice(0, 40)}; this program reads version ${CHECKPOINT_VERSION}`,
    );
  const manifest = schemaOf((json as { model?: unknown } | null)?.model).safeParse(json);
  if (!manifest.success) throw malformed(issueOf(manifest.error));
  return manifest.data;
}

function readTensors(files: CheckpointFiles, name: string, expected: string): Record<string, NdArray> {
  const bytes = fileOf(files, name);
  checkDigest(name, bytes, expected);
  let tensors: Record<string, StoredTensor>;
  try {
    tensors = readSafetensors(bytes).tensors;
  } catch (cause) {
    throw malformed(
      { field: name, message: `${name}: ${cause instanceof Error ? cause.message : 'unreadable'}` },
      cause,
    );
  }
  return Object.fromEntries(
    Object.entries(tensors).map(([key, tensor]) => {
      if (tensor.dtype !== 'float32')
        throw malformed({ field: name, message: `${name}: ${key} is ${tensor.dtype}; only float32 is allowed` });
      return [key, tensor];
    }),
  );
}

function checkDigest(name: string, bytes: Uint8Array, expected: string): void {
  const found = digest(bytes);
  if (found === expected) return;
  throw new ModelError(
    'DIGEST_MISMATCH',
    name,
    `${name} (${bytes.length} bytes) has sha256 ${found}, but the manifest says ${expected}: fetch the checkpoint again`,
  );
}

function checkTensors(
  model: NetworkSpec,
  parameters: Readonly<Record<string, NdArray>>,
  optimizer: Readonly<Record<string, NdArray>>,
): void {
  // What parameters an imported network has is known once its file has been read.
  if (!isImported(model)) checkParameters(model, parameters);
  for (const [file, tensors] of [
    [WEIGHTS, parameters],
    [OPTIMIZER, optimizer],
  ] as const)
    for (const [name, { data }] of Object.entries(tensors))
      if (!(data as Float32Array).every(Number.isFinite))
        throw malformed({ field: file, message: `${file}: ${name} holds numbers that are not finite` });
  for (const [name, state] of Object.entries(optimizer)) {
    const parameter = parameters[name.slice(name.indexOf('/') + 1)];
    if (!name.includes('/') || parameter?.shape.join() !== state.shape.join())
      throw malformed({ field: OPTIMIZER, message: `${OPTIMIZER}: ${name} [${state.shape}] belongs to no parameter` });
  }
}

function fileOf(files: CheckpointFiles, name: string): Uint8Array {
  const bytes = files[name];
  if (bytes) return bytes;
  throw malformed({
    field: name,
    message: `the checkpoint lacks ${name}; it has ${Object.keys(files).join(', ') || 'no file'}`,
  });
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

interface Problem {
  readonly field: string;
  readonly message: string;
}

function issueOf(error: z.ZodError): Problem {
  const issue = error.issues[0];
  const field = issue?.path.map(String).join('.') || MANIFEST;
  return { field, message: `${MANIFEST}: ${field}: ${issue?.message ?? 'invalid'}` };
}

function malformed({ field, message }: Problem, cause?: unknown): ModelError {
  return new ModelError('MALFORMED_CHECKPOINT', field, message, { cause });
}
