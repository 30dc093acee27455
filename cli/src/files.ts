import { createHash, type Hash } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize, sep } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { ArtefactFile } from '@jsigr/proto';
import { JsigrError } from '@jsigr/service/client';

interface Chunk {
  readonly data: Uint8Array;
}

/**
 * Writes the chunks of a stream to a file: under another name first, so that what is there is always whole.
 * @returns the number of bytes. @throws JsigrError when the stream breaks or the file cannot be written; nothing is left behind.
 */
export async function saveStream(target: string, chunks: AsyncIterable<Chunk>): Promise<number> {
  return save(target, chunks, () => {});
}

/** Bytes that are there already, as a stream. */
export async function* once(data: Uint8Array): AsyncGenerator<Chunk> {
  yield { data };
}

/**
 * Writes one file of an artefact below a folder and checks its size and digest.
 * @throws JsigrError DATA_LOSS when they differ, INVALID_ARGUMENT for a path that leads out of the folder.
 */
export async function saveArtefact(
  folder: string,
  { path, sizeBytes, sha256 }: ArtefactFile,
  read: (readOffset: number) => AsyncIterable<Chunk>,
): Promise<string> {
  const target = join(folder, within(path));
  const hash = createHash('sha256');
  await save(
    target,
    read(0),
    (size) => verify(path, { size, digest: hash.digest('hex') }, { size: sizeBytes, digest: sha256 }),
    hash,
  );
  return target;
}

async function save(
  target: string,
  chunks: AsyncIterable<Chunk>,
  check: (size: number) => void,
  hash?: Hash,
): Promise<number> {
  const temporary = `${target}.part`;
  try {
    await mkdir(dirname(target), { recursive: true });
    const file = await open(temporary, 'w');
    let size = 0;
    try {
      for await (const { data } of chunks) {
        await file.writeFile(data);
        hash?.update(data);
        size += data.length;
      }
    } finally {
      await file.close();
    }
    check(size);
    await rename(temporary, target);
    return size;
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {}); // it may not even be possible that it is there
    throw fromFileError(error, target);
  }
}

/** Errors of the file system name the file; others stay what they are. */
export function fromFileError(error: unknown, path: string): JsigrError {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code !== 'string' || !/^E[A-Z]+$/.test(code)) return JsigrError.from(error);
  const missing = code === 'ENOENT';
  return new JsigrError({
    code: missing ? status.NOT_FOUND : status.FAILED_PRECONDITION,
    reason: missing ? 'FILE_NOT_FOUND' : 'FILE_NOT_USABLE',
    message: missing ? `there is no file ${path}` : `${path}: ${message}`,
    cause: error,
  });
}

/** A name that comes from the other side, or out of a file: it must not lead out of the folder. @throws JsigrError UNSAFE_PATH */
export function within(path: string): string {
  const clean = normalize(path);
  if (path === '' || isAbsolute(clean) || clean.split(sep).includes('..'))
    throw new JsigrError({
      code: status.INVALID_ARGUMENT,
      reason: 'UNSAFE_PATH',
      message: `a file is named "${path}", which does not lie in the folder of the model`,
    });
  return clean;
}

interface Identity {
  readonly size: number;
  readonly digest: string;
}

function verify(path: string, got: Identity, wanted: Identity): void {
  if (got.size === wanted.size && got.digest === wanted.digest) return;
  throw new JsigrError({
    code: status.DATA_LOSS,
    reason: 'DIGEST_MISMATCH',
    message: `${path} arrived with ${got.size} bytes and sha256 ${got.digest}; ${wanted.size} bytes and ${wanted.digest} were announced`,
    hint: 'run the command again; if it stays so, the store is damaged',
  });
}
