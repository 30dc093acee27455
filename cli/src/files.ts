import { createHash, type Hash } from 'node:crypto';
import { access, constants, mkdir, open, realpath, rename, rm, stat } from 'node:fs/promises';
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
  let temporary: string | undefined;
  try {
    await mkdir(dirname(target), { recursive: true });
    const place = await placeOf(target);
    // Of this process alone: two that write the same file must not write into each other's.
    if (place !== undefined) temporary = `${place}.${process.pid}.part`;
    const file = await open(temporary ?? target, 'w');
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
    if (temporary !== undefined && place !== undefined) await rename(temporary, place);
    return size;
  } catch (error) {
    if (temporary !== undefined) await rm(temporary, { force: true }).catch(() => {}); // it may not even be possible that it is there
    throw fromFileError(error, target);
  }
}

/** The file that is replaced: what a link leads to. Undefined for a device or a pipe, which is written to and never replaced. */
async function placeOf(target: string): Promise<string | undefined> {
  const found = await stat(target).catch(() => undefined);
  if (!found) return target;
  return found.isFile() || found.isDirectory() ? realpath(target) : undefined;
}

/**
 * Says before hours of work what would keep their result from being written.
 * @param target a file; with `isFolder` a folder. What is not there yet is made
 * @throws JsigrError FILE_NOT_USABLE naming the path
 */
export async function checkTarget(target: string, isFolder = false): Promise<void> {
  for (let place = target; ; place = dirname(place)) {
    const found = await stat(place).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw fromFileError(error, target);
      return undefined;
    });
    if (!found) continue;
    const isTarget = place === target;
    if (found.isDirectory() !== (isFolder || !isTarget))
      throw notUsable(target, isTarget ? `is ${isFolder ? 'no' : 'a'} folder` : `${place} is no folder`);
    // A file is replaced: what must be writable is its folder.
    const writable = isTarget && found.isFile() ? dirname(await realpath(place)) : place;
    await access(writable, constants.W_OK).catch((error) => {
      throw fromFileError(error, target);
    });
    return;
  }
}

/** Errors of the file system name the file; others stay what they are. */
export function fromFileError(error: unknown, path: string): JsigrError {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code !== 'string' || !/^E[A-Z]+$/.test(code)) return JsigrError.from(error);
  if (code !== 'ENOENT') return notUsable(path, String(message), error);
  return new JsigrError({
    code: status.NOT_FOUND,
    reason: 'FILE_NOT_FOUND',
    message: `there is no file ${path}`,
    cause: error,
  });
}

function notUsable(path: string, why: string, cause?: unknown): JsigrError {
  return new JsigrError({
    code: status.FAILED_PRECONDITION,
    reason: 'FILE_NOT_USABLE',
    message: `${path}: ${why}`,
    cause,
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
