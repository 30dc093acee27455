import { createHash } from 'node:crypto';
import { type Checkpoint, type CheckpointFiles, decodeCheckpoint } from './checkpoint.ts';
import type { Classifier } from './classifier.ts';
import { ModelError } from './errors.ts';
import { type HeldOutPart, heldOutBy } from './held-out.ts';
import { type Oracle, oracleOfFile, queriedOf } from './imported/black-box.ts';
import { classifierOf } from './imported/classifier.ts';
import { type Endpoint, type ImportManifest, importManifestSchema, MANIFEST } from './imported/manifest.ts';
import { importedNetwork, importedSpecOf } from './imported/network.ts';
import { ONNX_FILE, readSource } from './imported/source.ts';
import { isImported } from './imported/spec.ts';
import { classifierOfNetwork, type Network, zooNetwork } from './network.ts';
import { checkShapes } from './parameter-shape.ts';

/** A model of the store, ready to be used. */
export interface StoredModel {
  readonly classifier: Classifier;
  /** Of a model that was trained here; `undefined` for an imported one. */
  readonly checkpoint: Checkpoint | undefined;
  /** What a reader of results should know of an imported model. */
  readonly remarks: readonly string[];
}

export interface OpenOptions {
  /** How live endpoints are reached; without it they are an error. */
  readonly connect?: (endpoint: Endpoint) => Promise<Oracle>;
}

/**
 * Reads the files of a model: a checkpoint of a training run, or an imported model. Nothing in the files is trusted.
 * @param digest names the model in reports
 * @throws ModelError or EngineError, naming the file or field
 */
export async function openModel(
  files: CheckpointFiles,
  digest: string,
  { connect }: OpenOptions = {},
): Promise<StoredModel> {
  const manifest = importManifestOf(files);
  if (!manifest) {
    const checkpoint = decodeCheckpoint(files);
    const id = `${checkpoint.model.architecture}@${digest.slice(0, 8)}`;
    const network = await networkOf(checkpoint);
    return { checkpoint, remarks: [], classifier: classifierOfNetwork(network, checkpoint.parameters, id) };
  }
  const { model, name, reading } = manifest;
  checkDigests(files, manifest);
  const id = `${name || model.architecture}@${digest.slice(0, 8)}`;
  const { blackBox, endpoint, remarks } = manifest;
  if (blackBox !== undefined) {
    const oracle = endpoint
      ? await connected(endpoint, connect)
      : await oracleOfFile(files[ONNX_FILE] ?? new Uint8Array());
    return { checkpoint: undefined, remarks, classifier: queriedOf(oracle, reading, { ...model, id, blackBox }) };
  }
  const source = await readSource(files, reading.outputName);
  return { checkpoint: undefined, remarks, classifier: classifierOf(source, reading, { ...model, id }) };
}

/** A network and the values of its parameters. */
export interface OpenedNetwork {
  readonly network: Network;
  readonly parameters: Checkpoint['parameters'];
  /** Of a checkpoint that says which images its training held out. */
  readonly heldOut?: HeldOutPart | undefined;
}

/**
 * Reads the files of a model as a network that can be trained: a checkpoint, or an imported ONNX file all of whose operations are known here.
 * @throws ModelError or EngineError, naming the file or field, or why the model cannot be trained
 */
export async function openNetwork(files: CheckpointFiles): Promise<OpenedNetwork> {
  const manifest = importManifestOf(files);
  if (manifest) {
    checkDigests(files, manifest);
    return importedNetwork(importedSpecOf(manifest), files[ONNX_FILE] ?? new Uint8Array());
  }
  const checkpoint = decodeCheckpoint(files);
  const network = await networkOf(checkpoint);
  checkShapes(network.model.architecture, network.shapes, checkpoint.parameters);
  return { network, parameters: checkpoint.parameters, heldOut: heldOutBy(checkpoint) };
}

async function networkOf({ model, foreign = {} }: Checkpoint): Promise<Network> {
  if (!isImported(model)) return zooNetwork(model);
  const { network } = await importedNetwork(model, foreign[ONNX_FILE] ?? new Uint8Array());
  return network;
}

function connected(endpoint: Endpoint, connect: OpenOptions['connect']): Promise<Oracle> {
  if (connect) return connect(endpoint);
  throw new ModelError('BLACK_BOX', 'model', `${endpoint.url} is a live endpoint, which can only be attacked`);
}

/** The manifest of an imported model; `undefined` if the files say that they are something else. */
function importManifestOf(files: CheckpointFiles): ImportManifest | undefined {
  const bytes = files[MANIFEST];
  if (!bytes) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined; // the checkpoint's reader says what is wrong
  }
  if ((json as { kind?: unknown } | null)?.kind !== 'imported') return undefined;
  const manifest = importManifestSchema.safeParse(json);
  if (manifest.success) return manifest.data;
  const [issue] = manifest.error.issues;
  const field = issue?.path.map(String).join('.') || MANIFEST;
  throw new ModelError('MALFORMED_CHECKPOINT', field, `${MANIFEST}: ${field}: ${issue?.message ?? 'invalid'}`);
}

function checkDigests(files: CheckpointFiles, { files: digests }: ImportManifest): void {
  for (const [path, expected] of Object.entries(digests)) {
    const bytes = files[path];
    const found = bytes && createHash('sha256').update(bytes).digest('hex');
    if (found !== expected)
      throw new ModelError(
        'DIGEST_MISMATCH',
        path,
        `${path} ${found ? `has sha256 ${found}` : 'is missing'}, but the manifest says ${expected}: import the model again`,
      );
  }
}
