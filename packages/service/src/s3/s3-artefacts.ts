import { createHash, randomUUID } from 'node:crypto';
import { artefactDigest, checkDigest, checkPath, describeFiles, isDigest, newestFirst } from '../artefact-digest.ts';
import { artefactNotFound, checkOffset, decodeIndex, encodeIndex, fileOf } from '../artefact-index.ts';
import type { S3Address, S3Settings } from '../artefact-place.ts';
import {
  type ArtefactEntry,
  type ArtefactFileInfo,
  type ArtefactKind,
  type ArtefactStore,
  artefactKinds,
  CHUNK_BYTES,
} from '../artefacts.ts';
import { corrupt } from '../storage-errors.ts';
import { BLOCK_BYTES, blocksFrom, type Fetch, KnownBlocks } from './blocks.ts';
import { S3Bucket, type StoredObject } from './bucket.ts';
import { allOf } from './in-order.ts';

const FILES_AT_ONCE = 4;
/** In errors. */
const INDEX = 'the index';

/** One finished put: the name of its objects, and when it was finished. */
interface Version {
  readonly id: string;
  readonly time: Date;
}

interface Leftover extends Version {
  readonly digest: string;
  readonly bytes: number;
}

const keys = {
  index: (kind: ArtefactKind, digest = '', id = '') => `${kind}/index/${digest && `${digest}/`}${id && `${id}.json`}`,
  files: (kind: ArtefactKind, digest = '', id = '') => `${kind}/files/${digest && `${digest}/`}${id && `${id}/`}`,
};

/**
 * Artefacts as objects of a bucket. Each put writes objects of its own, `models/files/DIGEST/PUT/...`, and, once all of them are there,
 * `models/index/DIGEST/PUT.json`, with which the artefact is there. No object is ever written twice: what one process removes is never what
 * another one has just put, so that there is nothing to lock.
 * @throws JsigrError STORE_CREDENTIALS, STORE_REGION where there are none; the bucket itself is asked when it is used first
 */
export async function s3ArtefactStore(address: S3Address, settings: S3Settings): Promise<ArtefactStore> {
  const bucket = new S3Bucket(address, settings);
  await bucket.checkSettings();
  const known = new KnownBlocks();

  /** Newest first. */
  async function versionsOf(kind: ArtefactKind, digest: string): Promise<Version[]> {
    const found = await bucket.list(keys.index(kind, checkDigest(digest)));
    return found.map((object) => indexed(kind, object)).sort(newerFirst);
  }

  async function allVersions(kind: ArtefactKind) {
    return (await bucket.list(keys.index(kind))).map((object) => indexed(kind, object)).sort(newerFirst);
  }

  /** The newest version with its files. @throws JsigrError NOT_FOUND, ARTEFACT_CORRUPT */
  async function open(kind: ArtefactKind, digest: string) {
    let missing = '';
    for (;;) {
      const [version] = await versionsOf(kind, digest);
      if (!version) throw artefactNotFound(kind, digest);
      const text = await bucket.text(keys.index(kind, digest, version.id));
      if (text !== undefined) return { files: decodeIndex(text, kind, digest, INDEX), version };
      // Removed in between: there is a newer one, or none.
      if (version.id === missing) throw corrupt(`${kind}/${digest}`, INDEX);
      missing = version.id;
    }
  }

  /** Fetches bytes of a file, and does not mind that its version is replaced by another one of the same content. */
  function fetcher(kind: ArtefactKind, digest: string, file: ArtefactFileInfo, version: Version): Fetch {
    const damaged = () => corrupt(`${kind}/${digest}`, file.path);
    let current = version;
    return async (start, end) => {
      for (;;) {
        const { id } = current;
        const key = keys.files(kind, digest, id) + checkPath(file.path);
        const found = await bucket.range(key, start, end, file.sizeBytes);
        if (found === 'other') throw damaged();
        if (found) return found;
        // Another block of this file may have been in the same place.
        if (current.id !== id) continue;
        const [newest] = await versionsOf(kind, digest);
        if (!newest) throw artefactNotFound(kind, digest);
        if (newest.id === id) throw damaged();
        current = newest;
      }
    };
  }

  /** The index goes first: what it names is not looked for any more. */
  async function discard(kind: ArtefactKind, digest: string, id: string): Promise<void> {
    await bucket.remove([keys.index(kind, digest, id)]);
    const objects = await bucket.list(keys.files(kind, digest, id));
    await bucket.remove(objects.map(({ key }) => key));
  }

  /** What broken-off puts left behind, and what newer ones replaced. */
  async function leftovers(kind: ArtefactKind): Promise<Leftover[]> {
    const groups = new Map<string, Leftover>();
    // The files first: a put that is finished in between is in the index by then.
    for (const { key, size, time } of await bucket.list(keys.files(kind))) {
      const [digest = '', id = ''] = key.slice(keys.files(kind).length).split('/');
      const { bytes, time: latest } = groups.get(id) ?? { bytes: 0, time };
      groups.set(id, { digest, id, bytes: bytes + size, time: time > latest ? time : latest });
    }
    const current = new Set<string>();
    for (const { digest, id } of await allVersions(kind)) {
      if (!current.has(digest)) groups.delete(id);
      current.add(digest);
    }
    return [...groups.values()];
  }

  const store: ArtefactStore = {
    async put(kind, files) {
      const described = describeFiles(files);
      const digest = artefactDigest(described);
      const id = newId();
      const folder = keys.files(kind, digest, id);
      try {
        const tasks = described.map((file) => async () => {
          const bytes = files[file.path] ?? new Uint8Array();
          known.learn(file, bytes);
          await bucket.put(folder + file.path, bytes);
        });
        await allOf(tasks, FILES_AT_ONCE);
        const sizes = new Map((await bucket.list(folder)).map(({ key, size }) => [key, size]));
        for (const { path, sizeBytes } of described)
          if (sizes.get(folder + path) !== sizeBytes) throw corrupt(`${kind}/${digest}`, path);
      } catch (error) {
        // Nobody has seen them; those that cannot be removed now are found by `sweep`.
        await discard(kind, digest, id).catch(() => undefined);
        throw error;
      }
      // Should this fail, the index may have arrived nevertheless: the files stay where they are.
      await bucket.put(keys.index(kind, digest, id), encodeIndex(described));
      const [newest, ...others] = await versionsOf(kind, digest);
      for (const other of others) await discard(kind, digest, other.id);
      return { kind, digest, files: described, createTime: newest?.time ?? new Date() };
    },
    async info(kind, digest) {
      const { files, version } = await open(kind, digest);
      return { kind, digest, files, createTime: version.time };
    },
    has: async (kind, digest) => (await versionsOf(kind, digest)).length > 0,
    async get(kind, digest) {
      const { files, version } = await open(kind, digest);
      const contents = files.map((file) => async () => {
        const hash = createHash('sha256');
        let whole: Buffer | undefined;
        let filled = 0;
        for await (const block of blocksFrom(fetcher(kind, digest, file, version), file)) {
          // The first block says that the file is as large as the index has it.
          whole ??= Buffer.allocUnsafeSlow(file.sizeBytes);
          filled += block.copy(whole, filled);
          hash.update(block);
        }
        if (!whole || hash.digest('hex') !== file.sha256) throw corrupt(`${kind}/${digest}`, file.path);
        return [file.path, whole] as const;
      });
      return Object.fromEntries(await allOf(contents, FILES_AT_ONCE));
    },
    async list(kind) {
      const entries = new Map<string, ArtefactEntry>();
      for (const { digest, time } of (await allVersions(kind)).reverse())
        if (isDigest(digest)) entries.set(digest, { digest, createTime: time });
      return [...entries.values()].sort(newestFirst);
    },
    async *read(kind, digest, path, offset = 0, chunkBytes = CHUNK_BYTES) {
      const { files, version } = await open(kind, digest);
      const file = fileOf(kind, digest, files, path);
      checkOffset(offset, file);
      const fetch = fetcher(kind, digest, file, version);
      const digests = await known.of(file, fetch);
      if (!digests) throw corrupt(`${kind}/${digest}`, path);
      let number = Math.min(Math.floor(offset / BLOCK_BYTES), digests.length - 1);
      let from = offset - number * BLOCK_BYTES;
      for await (const block of blocksFrom(fetch, file, number)) {
        const sum = createHash('sha256').update(block).digest('hex');
        if (sum !== digests[number++]) throw corrupt(`${kind}/${digest}`, path);
        for (; from < block.length; from += chunkBytes) yield block.subarray(from, from + chunkBytes);
        from = 0;
      }
    },
    async remove(kind, digest, { putBefore } = {}) {
      const versions = await versionsOf(kind, digest);
      const old = versions.filter(({ time }) => putBefore === undefined || time <= putBefore);
      for (const { id } of old) await discard(kind, digest, id);
      return old.length === versions.length;
    },
    async sweep({ olderThanMs, dryRun = false }) {
      const before = new Date(Date.now() - olderThanMs);
      let [count, bytes] = [0, 0];
      for (const upload of await bucket.openUploads()) {
        const arrived = await bucket.arrived(upload);
        if (arrived.time > before) continue;
        count++;
        bytes += arrived.bytes;
        if (!dryRun) await bucket.giveUp(upload);
      }
      for (const kind of artefactKinds)
        for (const { digest, id, time, bytes: size } of await leftovers(kind)) {
          if (time > before) continue;
          count++;
          bytes += size;
          if (!dryRun) await discard(kind, digest, id);
        }
      return { count, bytes };
    },
  };
  return store;
}

function indexed(kind: ArtefactKind, { key, time }: StoredObject): Version & { digest: string } {
  const [digest = '', name = ''] = key.slice(keys.index(kind).length).split('/');
  return { digest, id: name.replace(/\.json$/, ''), time };
}

/** Later ones sort after earlier ones. */
function newId(): string {
  return `${new Date().toISOString().replaceAll(/[-:.]/g, '')}-${randomUUID()}`;
}

/** Servers count whole seconds; of those of one second the name decides. */
function newerFirst(a: Version, b: Version): number {
  return b.time.getTime() - a.time.getTime() || (a.id < b.id ? 1 : -1);
}
