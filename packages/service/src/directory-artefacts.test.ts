import { mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ArtefactStore, Files } from './artefacts.ts';
import { directoryArtefactStore } from './directory-artefacts.ts';
import { JsigrError } from './errors.ts';
import { storageError } from './storage-errors.ts';

let root: string;
let store: ArtefactStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-artefacts-'));
  store = directoryArtefactStore(root);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const bytes = (text: string) => new TextEncoder().encode(text);
const model: Files = { 'manifest.json': bytes('{}'), 'weights.safetensors': bytes('abc') };

async function failureOf(work: Promise<unknown>): Promise<JsigrError> {
  return work.then(
    () => Promise.reject(new Error('it should have failed')),
    (error) => JsigrError.from(error),
  );
}

async function readAll(digest: string, path: string, offset = 0, chunkBytes?: number): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of store.read('models', digest, path, offset, chunkBytes)) chunks.push(chunk);
  return chunks;
}

const filesArbitrary = fc.dictionary(
  fc.stringMatching(/^[a-z_][a-z0-9._-]{0,8}$/).map((name) => `${name}.bin`),
  fc.uint8Array({ maxLength: 3000 }),
  { minKeys: 1, maxKeys: 4 },
);

describe('put and get', () => {
  // `printf '%s  manifest.json\n%s  weights.safetensors\n' $(printf '{}' | sha256sum | cut -d' ' -f1) $(printf abc | sha256sum | cut -d' ' -f1) | sha256sum`
  test('the digest is what sha256sum says of the list that sha256sum prints', async () => {
    const { digest, files } = await store.put('models', model);
    expect(files.map(({ path, sizeBytes }) => [path, sizeBytes])).toEqual([
      ['manifest.json', 2],
      ['weights.safetensors', 3],
    ]);
    expect(digest).toBe('60e1326f8bef2a9a301228a1848849868c0aa8dc13f9ccb714658c4b5adf695b');
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
        fc.uint8Array({ minLength: 1, maxLength: 2000 }),
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

  test('many at once, of the same files, leave one artefact and no partial ones', async () => {
    const other = directoryArtefactStore(root);
    const puts = await Promise.all(Array.from({ length: 8 }, (_, i) => (i % 2 ? store : other).put('models', model)));
    expect(new Set(puts.map(({ digest }) => digest)).size).toBe(1);
    expect(await readdir(join(root, '.partial'))).toEqual([]);
    expect(await readdir(join(root, 'models'))).toHaveLength(1);
  });

  test('list gives the newest first, remove takes one away', async () => {
    const [a, b] = [await store.put('models', model), await store.put('models', { 'a.bin': bytes('a') })];
    await utimes(join(root, 'models', a.digest, '.index.json'), new Date(), new Date(Date.now() - 60_000));
    expect((await store.list('models')).map(({ digest }) => digest)).toEqual([b.digest, a.digest]);
    await store.remove('models', a.digest);
    await store.remove('models', a.digest);
    expect([await store.has('models', a.digest), await store.has('models', b.digest)]).toEqual([false, true]);
    expect(await store.list('ledgers')).toEqual([]);
  });
});

describe('what is damaged', () => {
  const damages: [string, (folder: string) => Promise<unknown>, string][] = [
    ['a changed byte', (folder) => writeFile(join(folder, 'weights.safetensors'), 'abd'), 'weights.safetensors'],
    ['a truncated file', (folder) => truncate(join(folder, 'weights.safetensors'), 1), 'weights.safetensors'],
    ['a missing file', (folder) => rm(join(folder, 'weights.safetensors')), 'weights.safetensors'],
    ['an index that lies', (folder) => writeFile(join(folder, '.index.json'), '{"files":[]}'), '.index.json'],
    ['an index that is no JSON', (folder) => writeFile(join(folder, '.index.json'), '{'), '.index.json'],
  ];

  test.each(damages)('%s is found by get and read, and healed by the next put', async (_name, damage, file) => {
    const { digest } = await store.put('models', model);
    await damage(join(root, 'models', digest));
    store = directoryArtefactStore(root);
    for (const work of [() => store.get('models', digest), () => readAll(digest, 'weights.safetensors')]) {
      const error = await failureOf(work());
      expect([error.reason, error.message.includes(file)]).toEqual(['ARTEFACT_CORRUPT', true]);
    }
    await store.put('models', model);
    expect(Buffer.from((await store.get('models', digest))['weights.safetensors'] ?? []).toString()).toBe('abc');
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
    expect(await failureOf(store.info('models', digest))).toMatchObject({
      code: status.NOT_FOUND,
      reason: 'MODEL_NOT_FOUND',
    });
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

describe('a disk that fails', () => {
  test('a root that is no folder is one clear error', async () => {
    const file = join(root, 'file');
    await writeFile(file, 'text');
    expect(await failureOf(directoryArtefactStore(file).put('models', model))).toMatchObject({
      code: status.FAILED_PRECONDITION,
      reason: 'STORE_NOT_WRITABLE',
    });
    expect(await readFile(file, 'utf8')).toBe('text');
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
