import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openArtefactStore } from './artefact-place.ts';
import type { ArtefactStore, Files } from './artefacts.ts';
import { JsigrError } from './errors.ts';
import { storageError } from './storage-errors.ts';
import { age, onEachStore } from './testing/artefact-backends.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const model: Files = { 'manifest.json': bytes('{}'), 'weights.safetensors': bytes('abc') };
const HOUR = 3600_000;
/** More than one block, and more than one part of an upload. */
const LARGE = 20_000_000;

async function failureOf(work: Promise<unknown>): Promise<JsigrError> {
  return work.then(
    () => Promise.reject(new Error('it should have failed')),
    (error) => JsigrError.from(error),
  );
}

const filesArbitrary = fc.dictionary(
  fc.stringMatching(/^[a-z_][a-z0-9._-]{0,8}$/).map((name) => `${name}.bin`),
  fc.uint8Array({ maxLength: 3000 }),
  { minKeys: 1, maxKeys: 4 },
);

/** Bytes without a period that a block could have. */
function noise(length: number): Uint8Array {
  const content = new Uint32Array(length / 4);
  let state = 1;
  for (let i = 0; i < content.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    content[i] = state;
  }
  return new Uint8Array(content.buffer);
}

/** Mounts a file system of so many megabytes, where this process may. */
function mountSmall(folder: string, megabytes: number): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]).status === 0;
}

onEachStore((backend) => {
  let store: ArtefactStore;
  beforeEach(async () => {
    await backend.fresh();
    store = await backend.open();
  });
  afterEach(() => backend.clear());

  async function readAll(digest: string, path: string, offset = 0, chunkBytes?: number): Promise<Buffer[]> {
    const chunks: Buffer[] = [];
    for await (const chunk of store.read('models', digest, path, offset, chunkBytes)) chunks.push(chunk);
    return chunks;
  }

  describe('put and get', () => {
    // `printf '%s  manifest.json\n%s  weights.safetensors\n' $(printf '{}' | sha256sum | cut -d' ' -f1) $(printf abc | sha256sum | cut -d' ' -f1) | sha256sum`
    test('the digest is what sha256sum says of the list that sha256sum prints', async () => {
      const { digest, files } = await store.put('models', model);
      expect(files.map(({ path, sizeBytes }) => [path, sizeBytes])).toEqual([
        ['manifest.json', 2],
        ['weights.safetensors', 3],
      ]);
      expect(digest).toBe('60e1326f8bef2a9a301228a1848849868c0aa8dc13f9ccb714658c4b5adf695b');
      expect(await store.info('models', digest)).toMatchObject({ kind: 'models', digest, files });
    });

    test('whatever is put comes back byte for byte, under a name that depends on the content only', () =>
      fc.assert(
        fc.asyncProperty(filesArbitrary, async (files) => {
          const { digest } = await store.put('datasets', files);
          const again = await store.put('datasets', Object.fromEntries(Object.entries(files).reverse()));
          expect(again.digest).toBe(digest);
          const got = await store.get('datasets', digest);
          expect(Object.keys(got).sort()).toEqual(Object.keys(files).sort());
          for (const [path, content] of Object.entries(files))
            expect(Buffer.from(got[path] ?? [])).toEqual(Buffer.from(content));
        }),
        { numRuns: 25, seed: 1 },
      ));

    test('a read in chunks from any offset gives the rest of the file', () =>
      fc.assert(
        fc.asyncProperty(
          fc.uint8Array({ maxLength: 2000 }),
          fc.nat(),
          fc.integer({ min: 1, max: 700 }),
          async (content, at, chunk) => {
            const { digest } = await store.put('models', { 'a.bin': content });
            const offset = at % (content.length + 1);
            const chunks = await readAll(digest, 'a.bin', offset, chunk);
            expect(Buffer.concat(chunks)).toEqual(Buffer.from(content.subarray(offset)));
            expect(Math.max(0, ...chunks.map(({ length }) => length))).toBeLessThanOrEqual(chunk);
          },
        ),
        { numRuns: 25, seed: 2 },
      ));

    test('a large file too, by whoever put it and by whoever did not, from any offset', async () => {
      const content = Buffer.from(noise(LARGE));
      const { digest } = await store.put('models', { 'weights.bin': content, 'empty.bin': new Uint8Array() });
      for (const offset of [0, 1, 2 ** 21, 7_000_000, LARGE - 1, LARGE])
        expect(Buffer.concat(await readAll(digest, 'weights.bin', offset)).equals(content.subarray(offset))).toBe(true);
      store = await backend.open();
      for (const offset of [LARGE - 1, 5_000_000])
        expect(Buffer.concat(await readAll(digest, 'weights.bin', offset)).equals(content.subarray(offset))).toBe(true);
      expect(content.equals((await store.get('models', digest))['weights.bin'] ?? new Uint8Array())).toBe(true);
    });

    test('many at once, of the same files, leave one artefact and nothing else', async () => {
      const other = await backend.open();
      const puts = await Promise.all(Array.from({ length: 8 }, (_, i) => (i % 2 ? store : other).put('models', model)));
      expect(new Set(puts.map(({ digest }) => digest)).size).toBe(1);
      expect(await backend.leftovers()).toEqual([]);
      expect(await store.list('models')).toHaveLength(1);
    });

    test('list gives the newest first, remove takes one away', async () => {
      const [a, b] = [await store.put('models', model), await store.put('models', { 'a.bin': bytes('a') })];
      age(backend.placeOf('models', a.digest), HOUR);
      expect((await store.list('models')).map(({ digest }) => digest)).toEqual([b.digest, a.digest]);
      await store.remove('models', a.digest);
      await store.remove('models', a.digest);
      expect([await store.has('models', a.digest), await store.has('models', b.digest)]).toEqual([false, true]);
      expect(await store.list('ledgers')).toEqual([]);
      expect(await backend.leftovers()).toEqual([]);
    });
  });

  describe('what is damaged', () => {
    const damages: [string, (place: (path?: string) => string) => Promise<unknown>, RegExp][] = [
      ['a changed byte', (place) => writeFile(place('weights.safetensors'), 'abd'), /^weights.safetensors/],
      ['a truncated file', (place) => truncate(place('weights.safetensors'), 1), /^weights.safetensors/],
      ['a file that grew', (place) => writeFile(place('weights.safetensors'), 'abcd'), /^weights.safetensors/],
      ['an empty file', (place) => truncate(place('weights.safetensors'), 0), /^weights.safetensors/],
      ['a missing file', (place) => rm(place('weights.safetensors')), /^weights.safetensors/],
      ['an index that lies', (place) => writeFile(place(), '{"files":[]}'), /index/],
      ['an index that is no JSON', (place) => writeFile(place(), '{'), /index/],
    ];

    test.each(damages)('%s is found by get and read, and healed by the next put', async (_name, damage, file) => {
      const { digest } = await store.put('models', model);
      await damage((path) => backend.placeOf('models', digest, path));
      store = await backend.open();
      for (const work of [() => store.get('models', digest), () => readAll(digest, 'weights.safetensors')]) {
        const error = await failureOf(work());
        expect([error.reason, error.message]).toEqual(['ARTEFACT_CORRUPT', expect.stringMatching(file)]);
      }
      await store.put('models', model);
      expect(Buffer.from((await store.get('models', digest))['weights.safetensors'] ?? []).toString()).toBe('abc');
    });

    test('a byte in the middle of a large file is not given to anybody, wherever the reader begins', async () => {
      const content = noise(LARGE);
      const { digest } = await store.put('models', { 'weights.bin': content });
      const damaged = Buffer.from(content);
      damaged[9_000_000] = (damaged[9_000_000] ?? 0) ^ 1;
      await writeFile(backend.placeOf('models', digest, 'weights.bin'), damaged);
      for (const each of [store, await backend.open()])
        for (const offset of [0, 8_000_000]) {
          let read = offset;
          const error = await failureOf(
            (async () => {
              for await (const chunk of each.read('models', digest, 'weights.bin', offset)) read += chunk.length;
            })(),
          );
          expect([error.reason, read <= 9_000_000]).toEqual(['ARTEFACT_CORRUPT', true]);
        }
    });
  });

  describe('garbage', () => {
    test('an artefact that was put again meanwhile stays, for whoever is just going to refer to it', async () => {
      const { digest } = await store.put('ledgers', model);
      age(backend.placeOf('ledgers', digest), 2 * HOUR);
      const [old] = await store.list('ledgers');
      const putBefore = new Date(Date.now() - HOUR);
      expect(old && old.createTime <= putBefore).toBe(true);
      await (await backend.open()).put('ledgers', model);
      expect(await store.remove('ledgers', digest, { putBefore })).toBe(false);
      expect(Object.keys(await store.get('ledgers', digest))).toEqual(Object.keys(model));
      age(backend.placeOf('ledgers', digest), 2 * HOUR);
      expect(await store.remove('ledgers', digest, { putBefore })).toBe(true);
      expect(await store.has('ledgers', digest)).toBe(false);
    });

    test('whoever puts while it is collected ends with an artefact that is whole', async () => {
      const other = await backend.open();
      const { digest } = await store.put('ledgers', model);
      for (let round = 0; round < 10; round++) {
        age(backend.placeOf('ledgers', digest), 2 * HOUR);
        await Promise.all([
          store.remove('ledgers', digest, { putBefore: new Date(Date.now() - HOUR) }),
          other.put('ledgers', model),
        ]);
        expect(Object.keys(await store.get('ledgers', digest))).toEqual(Object.keys(model));
      }
      expect(await backend.leftovers()).toEqual([]);
    });

    test('what a put that was killed left behind is counted, and swept once it is old enough', async () => {
      const { digest } = await store.put('models', model);
      await backend.breakOff(1000);
      const nothing = { count: 0, bytes: 0 };
      const found = { count: backend.name === 'S3' ? 2 : 1, bytes: 1000 };
      expect(await store.sweep({ olderThanMs: HOUR })).toEqual(nothing);
      // A server's clock is not ours, and counts whole seconds.
      expect(await store.sweep({ olderThanMs: -2000, dryRun: true })).toEqual(found);
      expect(await backend.leftovers()).toHaveLength(found.count);
      expect(await store.sweep({ olderThanMs: -2000 })).toEqual(found);
      expect(await store.sweep({ olderThanMs: -2000 })).toEqual(nothing);
      expect(await backend.leftovers()).toEqual([]);
      expect((await store.list('models')).map((each) => each.digest)).toEqual([digest]);
      expect(Object.keys(await store.get('models', digest))).toEqual(Object.keys(model));
    });
  });

  describe('bad input', () => {
    test.each(['../a', '/a', 'a/../b', '.hidden', 'a//b', '', 'a\\b', 'a\0b', 'x'.repeat(201)])(
      'the path %j is refused',
      async (path) => {
        const error = await failureOf(store.put('models', { [path]: bytes('a') }));
        expect(error.violations[0]?.field).toBe('path');
      },
    );

    test.each(['', 'abc', '../../etc', 'A'.repeat(64)])('the digest %j is refused', async (digest) => {
      expect((await failureOf(store.get('models', digest))).violations[0]?.field).toBe('digest');
    });

    test('what is not there is NOT_FOUND', async () => {
      const digest = '0'.repeat(64);
      const missing = { code: status.NOT_FOUND, reason: 'MODEL_NOT_FOUND' };
      expect(await failureOf(store.info('models', digest))).toMatchObject(missing);
      expect(await failureOf(store.get('models', digest))).toMatchObject(missing);
      const put = await store.put('models', model);
      expect(await failureOf(readAll(put.digest, 'nothing.bin'))).toMatchObject({
        code: status.NOT_FOUND,
        hint: 'it has manifest.json, weights.safetensors',
      });
    });

    test.each([-1, 4, 1.5, Number.NaN])('offset %d of a file of 3 bytes is OUT_OF_RANGE', async (offset) => {
      const { digest } = await store.put('models', model);
      expect(await failureOf(readAll(digest, 'weights.safetensors', offset))).toMatchObject({
        code: status.OUT_OF_RANGE,
      });
    });
  });
});

onEachStore((backend) => {
  test('a disk that is full takes nothing more, keeps what it has, and takes it again once there is room', async ({
    skip,
  }) => {
    const root = mkdtempSync(join(tmpdir(), 'jsigr-small-'));
    if (!mountSmall(root, 24)) return skip('only root may mount a file system');
    try {
      await backend.fresh(root);
      const store = await backend.open();
      const { digest } = await store.put('models', model);
      const half = await store.put('ledgers', { 'a.bin': noise(11_000_000) });
      // One of them goes in parts.
      const tooLarge: Files[] = [{ 'a.bin': noise(LARGE) }, { 'a.bin': noise(8_000_000), 'b.bin': noise(8_000_000) }];
      for (const large of tooLarge) {
        const error = await failureOf(store.put('models', large));
        expect(error).toMatchObject({ code: status.RESOURCE_EXHAUSTED, reason: 'STORE_FULL' });
        expect(error.message).toContain('is full');
        expect(await backend.leftovers()).toEqual([]);
      }
      expect((await store.list('models')).map((each) => each.digest)).toEqual([digest]);
      expect(await store.get('models', digest)).toEqual(
        Object.fromEntries(Object.entries(model).map(([path, content]) => [path, Buffer.from(content)])),
      );
      await store.remove('ledgers', half.digest);
      expect((await store.put('models', { 'weights.safetensors': noise(11_000_000) })).files[0]?.sizeBytes).toBe(
        11_000_000,
      );
    } finally {
      await backend.clear();
      spawnSync('umount', [root]);
      rmSync(root, { recursive: true, force: true });
    }
  });
});

describe('a disk that fails', () => {
  test('a root that is no folder is one clear error', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'jsigr-file-'));
    const file = join(folder, 'file');
    await writeFile(file, 'text');
    const store = await openArtefactStore({ artefacts: file });
    expect(await failureOf(store.put('models', model))).toMatchObject({
      code: status.FAILED_PRECONDITION,
      reason: 'STORE_NOT_WRITABLE',
    });
    expect(await readFile(file, 'utf8')).toBe('text');
    rmSync(folder, { recursive: true });
  });

  test.each([
    ['ENOSPC', 'STORE_FULL'],
    ['EDQUOT', 'STORE_FULL'],
    ['EROFS', 'STORE_NOT_WRITABLE'],
    ['EACCES', 'STORE_NOT_WRITABLE'],
    ['EIO', 'STORE_FAILED'],
  ])('%s becomes %s', (code, reason) => {
    expect(storageError(Object.assign(new Error(code), { code }), '/data').reason).toBe(reason);
  });
});
