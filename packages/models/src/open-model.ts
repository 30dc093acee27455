import { createHash } from 'node:crypto';
import { type Checkpoint, type CheckpointFiles, decodeCheckpoint } from './checkpoint.ts';
import type { Classifier } from './classifier.ts';
import { createClassifier } from './create-classifier.ts';
import { ModelError } from './errors.ts';
import { type Oracle, oracleOfFile, queriedOf } from './imported/black-box.ts';
import { classifierOf } from './imported/classifier.ts';
import { type Endpoint, type ImportManifest, importManifestSchema, MANIFEST } from './imported/manifest.ts';
import { ONNX_FILE, readSource } from './imported/source.ts';

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
    return { checkpoint, remarks: [], classifier: createClassifier(checkpoint.model, checkpoint.parameters, id) };
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
