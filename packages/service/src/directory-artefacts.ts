import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { artefactDigest, checkDigest, checkPath, describeFiles, sha256 } from './artefact-digest.ts';
import {
  type ArtefactFileInfo,
  type ArtefactInfo,
  type ArtefactKind,
  type ArtefactStore,
  CHUNK_BYTES,
  type Files,
} from './artefacts.ts';
import { JsigrError, notFound, outOfRange } from './errors.ts';
import { corrupt, storageError } from './storage-errors.ts';

const INDEX = '.index.json';
const PARTIAL = '.partial';
const ABANDONED_MS = 24 * 3600 * 1000;

const indexSchema = z.strictObject({
  files: z.array(z.strictObject({ path: z.string(), sizeBytes: z.int().min(0), sha256: z.string() })),
});

/**
 * Artefacts as folders: `ROOT/models/DIGEST/...`, each with an index of its files. A put writes to `ROOT/.partial`, syncs, and renames: a reader
 * sees an artefact whole or not at all, and a crash leaves at most a partial folder that a later put sweeps away.
 */
export function directoryArtefactStore(root: string): ArtefactStore {
  const folder = (kind: ArtefactKind, digest: string) => join(root, kind, checkDigest(digest));
  /** Files whose bytes were compared with their digest, as `path size mtime`: large files are hashed once, not at every read. */
  const verified = new Set<string>();

  async function info(kind: ArtefactKind, digest: string): Promise<ArtefactInfo> {
    const place = folder(kind, digest);
    try {
      const { files } = indexSchema.parse(JSON.parse(await readFile(join(place, INDEX), 'utf8')));
      if (artefactDigest(files) !== digest) throw corrupt(`${kind}/${digest}`, INDEX);
      return { kind, digest, files, createTime: (await stat(join(place, INDEX))).mtime };
    } catch (error) {
      if (isMissing(error)) throw notFound(kind.replace(/s$/, ''), `${kind}/${digest}`);
      if (error instanceof JsigrError) throw error;
      throw error instanceof SyntaxError || error instanceof z.ZodError
        ? corrupt(`${kind}/${digest}`, INDEX)
        : storageError(error, root);
    }
  }

  async function fileInfo(kind: ArtefactKind, digest: string, path: string): Promise<ArtefactFileInfo> {
    const { files } = await info(kind, digest);
    const found = files.find((file) => file.path === path);
    if (found) return found;
    throw notFound('file', `${kind}/${digest}/${path}`, `it has ${files.map((file) => file.path).join(', ')}`);
  }

  async function verify(kind: ArtefactKind, digest: string, file: ArtefactFileInfo): Promise<string> {
    const place = join(folder(kind, digest), checkPath(file.path));
    const { size, mtimeMs } = await stat(place).catch(() => ({ size: -1, mtimeMs: 0 }));
    const key = `${place} ${size} ${mtimeMs}`;
    if (verified.has(key)) return place;
    if (size !== file.sizeBytes || (await hashFile(place)) !== file.sha256)
      throw corrupt(`${kind}/${digest}`, file.path);
    if (verified.size > 10_000) verified.clear();
    verified.add(key);
    return place;
  }

  async function put(kind: ArtefactKind, files: Files): Promise<ArtefactInfo> {
    const described = describeFiles(files);
    const digest = artefactDigest(described);
    const place = folder(kind, digest);
    const partial = join(root, PARTIAL, `${process.pid}-${randomUUID()}`);
    try {
      if (await isSound(kind, digest)) return await info(kind, digest);
      await mkdir(join(root, kind), { recursive: true });
      await mkdir(partial, { recursive: true });
      for (const { path } of described) await writeDurably(join(partial, path), files[path] ?? new Uint8Array());
      await writeDurably(join(partial, INDEX), Buffer.from(JSON.stringify({ files: described })));
      await syncFolder(partial);
      await moveInto(partial, place, () => isSound(kind, digest));
      await syncFolder(join(root, kind));
      return await info(kind, digest);
    } catch (error) {
      throw error instanceof JsigrError ? error : storageError(error, root);
    } finally {
      await rm(partial, { recursive: true, force: true }).catch(() => undefined);
      await sweep(join(root, PARTIAL));
    }
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
        const bytes = await readFile(join(folder(kind, digest), checkPath(file.path))).catch(() => undefined);
        if (bytes === undefined || sha256(bytes) !== file.sha256) throw corrupt(`${kind}/${digest}`, file.path);
        return [file.path, bytes] as const;
      });
      return Object.fromEntries(await Promise.all(contents));
    },
    async list(kind) {
      const names = await readdir(join(root, kind)).catch((error) => {
        if (isMissing(error)) return [];
        throw storageError(error, root);
      });
      const digests = names.filter((name) => /^[0-9a-f]{64}$/.test(name));
      const found = await Promise.all(digests.map((digest) => info(kind, digest).catch(() => undefined)));
      return found
        .filter((each) => each !== undefined)
        .sort((a, b) => b.createTime.getTime() - a.createTime.getTime() || (a.digest < b.digest ? -1 : 1));
    },
    async *read(kind, digest, path, offset = 0, chunkBytes = CHUNK_BYTES) {
      const file = await fileInfo(kind, digest, path);
      if (!Number.isInteger(offset) || offset < 0 || offset > file.sizeBytes)
        throw outOfRange('readOffset', `${offset} is not in 0..${file.sizeBytes}, the size of ${path}`);
      const place = await verify(kind, digest, file);
      yield* createReadStream(place, { start: offset, highWaterMark: chunkBytes }) as AsyncIterable<Buffer>;
    },
    async remove(kind, digest) {
      const place = folder(kind, digest);
      // Renamed first: a reader must not see an artefact that loses its files one by one.
      const partial = join(root, PARTIAL, `${process.pid}-${randomUUID()}`);
      try {
        await mkdir(dirname(partial), { recursive: true });
        await rename(place, partial);
        await rm(partial, { recursive: true, force: true });
      } catch (error) {
        if (!isMissing(error)) throw storageError(error, root);
      }
    },
  };
}

/** Renames over nothing, or over an artefact that is damaged; when another process was faster, its artefact stays. */
async function moveInto(from: string, to: string, isSound: () => Promise<boolean>): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes(codeOf(error))) throw error;
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

/** What a killed process left behind, once it is a day old. */
async function sweep(partials: string): Promise<void> {
  for (const name of await readdir(partials).catch(() => [])) {
    const place = join(partials, name);
    const { mtimeMs } = await stat(place).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (mtimeMs < Date.now() - ABANDONED_MS) await rm(place, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function hashFile(place: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(place)) hash.update(chunk);
  return hash.digest('hex');
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT';
}

function codeOf(error: unknown): string {
  return error instanceof Error ? String((error as NodeJS.ErrnoException).code) : '';
}
