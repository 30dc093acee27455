import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  artefactDigest,
  checkDigest,
  checkPath,
  describeFiles,
  isDigest,
  newestFirst,
  sha256,
} from './artefact-digest.ts';
import { artefactNotFound, checkOffset, decodeIndex, encodeIndex, fileOf } from './artefact-index.ts';
import {
  type ArtefactEntry,
  type ArtefactFileInfo,
  type ArtefactInfo,
  type ArtefactKind,
  type ArtefactStore,
  CHUNK_BYTES,
  type Files,
  type Swept,
} from './artefacts.ts';
import { JsigrError } from './errors.ts';
import { borrowBuffer, giveBackBuffer } from './lent-buffers.ts';
import { corrupt, storageError } from './storage-errors.ts';

const INDEX = '.index.json';
const PARTIAL = '.partial';
const ABANDONED_MS = 24 * 3600 * 1000;
/** What the system says where there is no file to read: none at all, or a folder or a link to nowhere in its place. */
const NO_FILE: readonly string[] = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP'];

/**
 * Artefacts as folders: `ROOT/models/DIGEST/...`, each with an index of its files. A put writes to `ROOT/.partial`, syncs, and renames: a reader
 * sees an artefact whole or not at all, and a crash leaves at most a partial folder that a later put sweeps away.
 */
export function directoryArtefactStore(root: string): ArtefactStore {
  const folder = (kind: ArtefactKind, digest: string) => join(root, kind, checkDigest(digest));
  /** Files whose bytes were compared with their digest, as `path size mtime`: large files are hashed once, not at every read. */
  const verified = new Set<string>();

  async function info(kind: ArtefactKind, digest: string): Promise<ArtefactInfo> {
    const index = join(folder(kind, digest), INDEX);
    try {
      const files = decodeIndex(await readFile(index, 'utf8'), kind, digest, INDEX);
      return { kind, digest, files, createTime: (await stat(index)).mtime };
    } catch (error) {
      const isThere = await stat(folder(kind, digest)).catch(() => undefined);
      throw isMissing(error) && !isThere ? artefactNotFound(kind, digest) : unread(error, kind, digest, INDEX);
    }
  }

  /** Of a file that is not there, or is none, the artefact is damaged; anything else (no permission, no handles left, a failing disk) is no fault of its bytes. */
  function unread(error: unknown, kind: ArtefactKind, digest: string, path: string): JsigrError {
    if (error instanceof JsigrError) return error;
    return NO_FILE.includes(codeOf(error)) ? corrupt(`${kind}/${digest}`, path) : storageError(error, root);
  }

  async function verify(kind: ArtefactKind, digest: string, file: ArtefactFileInfo): Promise<string> {
    const place = join(folder(kind, digest), checkPath(file.path));
    try {
      const { size, mtimeMs } = await stat(place);
      const key = `${place} ${size} ${mtimeMs}`;
      if (verified.has(key)) return place;
      if (size !== file.sizeBytes || (await hashFile(place)) !== file.sha256)
        throw corrupt(`${kind}/${digest}`, file.path);
      if (verified.size > 10_000) verified.clear();
      verified.add(key);
      return place;
    } catch (error) {
      throw unread(error, kind, digest, file.path);
    }
  }

  async function put(kind: ArtefactKind, files: Files): Promise<ArtefactInfo> {
    const described = describeFiles(files);
    const digest = artefactDigest(described);
    const place = folder(kind, digest);
    const partial = join(root, PARTIAL, `${process.pid}-${randomUUID()}`);
    try {
      const there = await wantedAgain(kind, digest);
      if (there) return there;
      await mkdir(join(root, kind), { recursive: true });
      await mkdir(partial, { recursive: true });
      for (const { path } of described) await writeDurably(join(partial, path), files[path] ?? new Uint8Array());
      await writeDurably(join(partial, INDEX), encodeIndex(described));
      await syncFolder(partial);
      await moveInto(partial, place, () => isSound(kind, digest));
      await syncFolder(join(root, kind));
      return await info(kind, digest);
    } catch (error) {
      throw error instanceof JsigrError ? error : storageError(error, root);
    } finally {
      await rm(partial, { recursive: true, force: true }).catch(() => undefined);
      await sweep(join(root, PARTIAL), { olderThanMs: ABANDONED_MS });
    }
  }

  /** What is there and sound, marked as put just now, so that nobody who collects garbage takes it for old; undefined when it must be written. */
  async function wantedAgain(kind: ArtefactKind, digest: string): Promise<ArtefactInfo | undefined> {
    if (!(await isSound(kind, digest))) return undefined;
    const now = new Date();
    return utimes(join(folder(kind, digest), INDEX), now, now)
      .then(() => info(kind, digest))
      .catch(() => undefined);
  }

  async function isSound(kind: ArtefactKind, digest: string): Promise<boolean> {
    try {
      const { files } = await info(kind, digest);
      for (const file of files) await verify(kind, digest, file);
      return true;
    } catch {
      return false;
    }
  }

  return {
    put,
    info,
    has: async (kind, digest) => {
      return (await stat(join(folder(kind, digest), INDEX)).catch(() => undefined)) !== undefined;
    },
    async get(kind, digest) {
      const { files } = await info(kind, digest);
      const contents = files.map(async (file) => {
        const bytes = await readFile(join(folder(kind, digest), checkPath(file.path))).catch((error) => {
          throw unread(error, kind, digest, file.path);
        });
        if (sha256(bytes) !== file.sha256) throw corrupt(`${kind}/${digest}`, file.path);
        return [file.path, bytes] as const;
      });
      return Object.fromEntries(await Promise.all(contents));
    },
    async list(kind) {
      const names = await readdir(join(root, kind)).catch((error) => {
        if (isMissing(error)) return [];
        throw storageError(error, root);
      });
      const found = names.filter(isDigest).map(async (digest): Promise<ArtefactEntry | undefined> => {
        const place = join(root, kind, digest);
        // Without its index it is damaged, and there nevertheless.
        const { mtime } =
          (await stat(join(place, INDEX))
            .catch(() => stat(place))
            .catch(() => undefined)) ?? {};
        return mtime && { digest, createTime: mtime };
      });
      return (await Promise.all(found)).filter((each) => each !== undefined).sort(newestFirst);
    },
    async *read(kind, digest, path, offset = 0, chunkBytes = CHUNK_BYTES) {
      const file = fileOf(kind, digest, (await info(kind, digest)).files, path);
      checkOffset(offset, file);
      const place = await verify(kind, digest, file);
      try {
        yield* chunksOf(place, offset, chunkBytes);
      } catch (error) {
        throw unread(error, kind, digest, path);
      }
    },
    sweep: (options) => sweep(join(root, PARTIAL), options),
    async remove(kind, digest, { putBefore } = {}) {
      const place = folder(kind, digest);
      // Renamed first: a reader must not see an artefact that loses its files one by one.
      const partial = join(root, PARTIAL, `${process.pid}-${randomUUID()}`);
      const stays = async (where: string) => {
        const found = await stat(join(where, INDEX)).catch(() => undefined);
        return putBefore !== undefined && found !== undefined && found.mtime > putBefore;
      };
      try {
        if (await stays(place)) return false;
        await mkdir(dirname(partial), { recursive: true });
        await rename(place, partial);
        if (await stays(partial)) {
          // Put again in between.
          await moveInto(partial, place, () => isSound(kind, digest));
          return false;
        }
      } catch (error) {
        if (!isMissing(error)) throw storageError(error, root);
      } finally {
        await rm(partial, { recursive: true, force: true }).catch(() => undefined);
      }
      return true;
    },
  };
}

/** A file from an offset on, one chunk read ahead, in buffers that can be given back (`giveBackBuffer`). */
async function* chunksOf(place: string, offset: number, chunkBytes: number): AsyncGenerator<Buffer> {
  const file = await open(place);
  const read = async (position: number) => {
    // Short reads are of callers that keep what they read.
    const into = chunkBytes === CHUNK_BYTES ? borrowBuffer(chunkBytes) : Buffer.allocUnsafe(chunkBytes);
    const { bytesRead, buffer } = await file.read(into, 0, chunkBytes, position);
    return buffer.subarray(0, bytesRead);
  };
  const next = (position: number) => {
    const reading = read(position);
    // Whoever takes its time with the chunk before hears of an error when it asks for this one.
    reading.catch(() => undefined);
    return reading;
  };
  let reading = next(offset);
  try {
    for (let position = offset; ; ) {
      const chunk = await reading;
      if (chunk.length === 0) return giveBackBuffer(chunk);
      position += chunk.length;
      reading = next(position);
      yield chunk;
    }
  } finally {
    await reading.catch(() => undefined);
    await file.close();
  }
}

/** Renames over nothing, or over an artefact that is damaged; when another process was faster, its artefact stays. */
async function moveInto(from: string, to: string, isSound: () => Promise<boolean>): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(codeOf(error))) throw error;
    if (await isSound()) return;
    await rename(to, `${from}-damaged`);
    await rename(from, to);
    await rm(`${from}-damaged`, { recursive: true, force: true });
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, 'wx');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What killed processes left behind. */
async function sweep(
  partials: string,
  { olderThanMs, dryRun = false }: { readonly olderThanMs: number; readonly dryRun?: boolean },
): Promise<Swept> {
  let [count, bytes] = [0, 0];
  for (const name of await readdir(partials).catch(() => [])) {
    const place = join(partials, name);
    const { mtimeMs } = await stat(place).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (mtimeMs > Date.now() - olderThanMs) continue;
    count++;
    bytes += await sizeOf(place);
    if (!dryRun) await rm(place, { recursive: true, force: true }).catch(() => undefined);
  }
  return { count, bytes };
}

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(({ parentPath, name }) => stat(join(parentPath, name)).catch(() => undefined)),
  );
  return sizes.reduce((sum, found) => sum + (found?.size ?? 0), 0);
}

async function hashFile(place: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunksOf(place, 0, CHUNK_BYTES)) {
    hash.update(chunk);
    giveBackBuffer(chunk);
  }
  return hash.digest('hex');
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT';
}

function codeOf(error: unknown): string {
  return error instanceof Error ? String((error as NodeJS.ErrnoException).code) : '';
}
