import { type Endpoint, endpointSchema, type ImportOptions, type Layout } from '@jsigr/models';
import type { ImportModelRequest, InferenceEndpoint, ModelDescription, ModelFileChunk } from '@jsigr/proto';
import { type Files, invalidArgument, resourceExhausted } from '@jsigr/service';

/** Most bytes of a model's files. */
export const LARGEST_UPLOAD = 512 * 1024 * 1024;
const LARGEST_CHUNK = 1024 * 1024;
const MOST_FILES = 100;

export interface ModelUpload {
  readonly options: ImportOptions;
  /** Instead of files. */
  readonly endpoint?: Endpoint;
  readonly files: Files;
}

/**
 * Reads the messages of an import: the description, then the files that it announces.
 * @throws JsigrError INVALID_ARGUMENT for messages out of order, or files that are not as announced; RESOURCE_EXHAUSTED beyond `LARGEST_UPLOAD`
 */
export async function readUpload(messages: AsyncIterable<ImportModelRequest>): Promise<ModelUpload> {
  let description: ModelDescription | undefined;
  const files = new Map<string, FileInProgress>();
  for await (const { message } of messages) {
    if (message?.$case === 'description') {
      if (description) throw invalidArgument('description', 'came twice; it is the first message, and only that');
      description = message.value;
      for (const [path, file] of announced(description)) files.set(path, file);
    } else if (message?.$case === 'chunk') {
      if (!description) throw invalidArgument('description', 'is missing: it is the first message');
      addChunk(files.get(message.value.path), message.value);
    } else throw invalidArgument('message', 'is neither a description nor a chunk');
  }
  if (!description) throw invalidArgument('description', 'is missing: it is the first message');
  return {
    options: optionsOf(description),
    ...(description.endpoint && { endpoint: endpointOf(description.endpoint) }),
    files: Object.fromEntries([...files].map(([path, file]) => [path, whole(path, file)])),
  };
}

interface FileInProgress {
  /** As announced; of all files together at most `LARGEST_UPLOAD`. */
  readonly size: number;
  /** Of that size, there from the first chunk on: however small chunks are, they take no more than this. */
  bytes?: Buffer;
  received: number;
}

function announced({ files, endpoint }: ModelDescription): Map<string, FileInProgress> {
  if (endpoint && files.length > 0)
    throw invalidArgument('description.files', 'stand beside an endpoint: give one of the two');
  if (endpoint) return new Map();
  if (files.length < 1 || files.length > MOST_FILES)
    throw invalidArgument('description.files', `${files.length} given, 1 to ${MOST_FILES} allowed`);
  const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (total > LARGEST_UPLOAD)
    throw resourceExhausted('MODEL_TOO_LARGE', `the files have ${total} bytes, at most ${LARGEST_UPLOAD} are taken`);
  if (files.some(({ path }) => path === 'manifest.json'))
    throw invalidArgument('description.files', 'manifest.json is written here; a model has other files');
  return new Map(files.map(({ path, sizeBytes }) => [path, { size: sizeBytes, received: 0 }]));
}

function addChunk(file: FileInProgress | undefined, { path, data }: ModelFileChunk): void {
  if (!file)
    throw invalidArgument('chunk.path', `${JSON.stringify(path.slice(0, 100))} is not a file of the description`);
  if (data.length === 0) throw invalidArgument('chunk.data', `is empty: 1 to ${LARGEST_CHUNK} bytes allowed`);
  if (data.length > LARGEST_CHUNK)
    throw invalidArgument('chunk.data', `${data.length} bytes given, at most ${LARGEST_CHUNK} allowed`);
  if (file.received + data.length > file.size)
    throw invalidArgument('chunk.data', `${path} has more than the ${file.size} bytes announced`);
  file.bytes ??= Buffer.allocUnsafeSlow(file.size);
  file.bytes.set(data, file.received);
  file.received += data.length;
}

function whole(path: string, { size, bytes = Buffer.alloc(0), received }: FileInProgress): Uint8Array {
  if (received === size) return bytes;
  throw invalidArgument('chunk.data', `${path} ended after ${received} of ${size} bytes: send it again`);
}

/** Numbers that are 0 are left to the defaults. */
function endpointOf({ url, requestsPerSecond, timeoutMs, batch }: InferenceEndpoint): Endpoint {
  const given = Object.entries({ requestsPerSecond, timeoutMs, batch }).filter(([, value]) => value !== 0);
  const parsed = endpointSchema.safeParse({ url, ...Object.fromEntries(given) });
  if (parsed.success) return parsed.data;
  throw invalidArgument(
    parsed.error.issues.map(({ path, message }) => ({
      field: `description.endpoint.${path.join('.')}`,
      description: message,
    })),
  );
}

/** What is left out stays out: the defaults and checks are the importer's. */
function optionsOf({
  displayName,
  input,
  layout,
  output,
  mean,
  deviation,
  classNames,
}: ModelDescription): ImportOptions {
  const isDefault = mean.length === 0 && deviation.length === 0;
  return {
    name: displayName,
    ...(input.length > 0 && { input: input as unknown as [number, number, number] }),
    ...(layout && { layout: layout as Layout }),
    ...(output && { output }),
    ...(!isDefault && {
      normalization: { mean: mean.length > 0 ? mean : [0], deviation: deviation.length > 0 ? deviation : [1] },
    }),
    labels: classNames,
  };
}
