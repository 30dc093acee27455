import type { ImportOptions, Layout } from '@jsigr/models';
import { ImportModelRequest, type ModelDescription } from '@jsigr/proto';
import { type Files, invalidArgument, resourceExhausted } from '@jsigr/service';

/** Most bytes of a model's files. */
export const LARGEST_UPLOAD = 512 * 1024 * 1024;
const LARGEST_CHUNK = 1024 * 1024;
const MOST_FILES = 100;

export interface ModelUpload {
  readonly options: ImportOptions;
  readonly files: Files;
}

/**
 * Reads the messages of an import: the description, then the files.
 * @throws JsigrError INVALID_ARGUMENT for messages out of order; RESOURCE_EXHAUSTED beyond `LARGEST_UPLOAD` bytes
 */
export async function readUpload(messages: AsyncIterable<ImportModelRequest>): Promise<ModelUpload> {
  let description: ModelDescription | undefined;
  const files = new Map<string, Uint8Array[]>();
  let total = 0;
  for await (const { message } of messages) {
    if (message?.$case === 'description') {
      if (description) throw invalidArgument('description', 'came twice; it is the first message, and only that');
      description = message.value;
    } else if (message?.$case === 'chunk') {
      if (!description) throw invalidArgument('description', 'is missing: it is the first message');
      const { path, data } = message.value;
      total += data.length;
      checkChunk(path, data.length, total, files);
      files.set(path, [...(files.get(path) ?? []), data]);
    } else throw invalidArgument('message', 'is neither a description nor a chunk');
  }
  if (!description) throw invalidArgument('description', 'is missing: it is the first message');
  if (files.size === 0) throw invalidArgument('chunk', 'is missing: there is no file');
  return {
    options: optionsOf(description),
    files: Object.fromEntries([...files].map(([path, parts]) => [path, Buffer.concat(parts)])),
  };
}

function checkChunk(path: string, size: number, total: number, files: ReadonlyMap<string, unknown>): void {
  if (path === 'manifest.json')
    throw invalidArgument('chunk.path', 'manifest.json is written here; a model has other files');
  if (size > LARGEST_CHUNK)
    throw invalidArgument('chunk.data', `${size} bytes given, at most ${LARGEST_CHUNK} allowed`);
  if (total > LARGEST_UPLOAD)
    throw resourceExhausted(
      'MODEL_TOO_LARGE',
      `the files have more than ${LARGEST_UPLOAD} bytes`,
      'import a smaller model',
    );
  if (!files.has(path) && files.size >= MOST_FILES)
    throw resourceExhausted('TOO_MANY_FILES', `a model has at most ${MOST_FILES} files`);
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
