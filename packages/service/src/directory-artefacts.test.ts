import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ArtefactStore } from './artefacts.ts';
import { directoryArtefactStore } from './directory-artefacts.ts';
import { JsigrError } from './errors.ts';

const files = { 'a.bin': Buffer.from('abc'), 'b.bin': Buffer.from('de') };

let root: string;
let store: ArtefactStore;
let digest: string;
let place: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-folder-'));
  store = directoryArtefactStore(root);
  ({ digest } = await store.put('models', files));
  place = join(root, 'models', digest);
});
afterEach(() => rm(root, { recursive: true }));

const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => JsigrError.from(error),
  );

async function readAll(path: string): Promise<void> {
  for await (const _ of store.read('models', digest, path));
}

/** Puts something else in the place of a file or folder. */
const instead: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  'a folder': (path) => mkdir(path),
  'a link to nowhere': (path) => symlink(join(root, 'nowhere'), path),
  'a link to itself': (path) => symlink(path, path),
};

describe('an artefact in a folder', () => {
  for (const [what, make] of Object.entries(instead))
    for (const name of ['a.bin', '.index.json'])
      test(`with ${what} in place of ${name} is damaged, and healed by the next put`, async () => {
        await rm(join(place, name));
        await make(join(place, name));
        for (const work of [() => store.get('models', digest), () => readAll('a.bin')])
          expect(await failureOf(work())).toMatchObject({
            reason: 'ARTEFACT_CORRUPT',
            message: expect.stringContaining(`${name} of models/${digest}`),
          });
        await store.put('models', files);
        expect(Object.keys(await store.get('models', digest))).toEqual(['a.bin', 'b.bin']);
      });

  test('without its index is damaged; without its folder there is none', async () => {
    await rm(join(place, '.index.json'));
    expect(await failureOf(store.get('models', digest))).toMatchObject({ reason: 'ARTEFACT_CORRUPT' });
    await rm(place, { recursive: true });
    expect(await failureOf(store.get('models', digest))).toMatchObject({ reason: 'MODEL_NOT_FOUND' });
  });

  for (const [what, make] of Object.entries({ ...instead, 'a file': (path: string) => writeFile(path, '') }))
    test(`with ${what} in place of its folder is healed by the next put`, async () => {
      await rm(place, { recursive: true });
      await make(place);
      expect(await failureOf(store.get('models', digest))).toBeInstanceOf(JsigrError);
      await store.put('models', files);
      expect(Object.keys(await store.get('models', digest))).toEqual(['a.bin', 'b.bin']);
    });

  test.skipIf(process.platform !== 'linux')('whose file a disk does not give out is not called damaged', async () => {
    await rm(join(place, 'a.bin'));
    // Its first page is never there: to read it is an I/O error.
    await symlink('/proc/self/mem', join(place, 'a.bin'));
    expect(await failureOf(store.get('models', digest))).toMatchObject({
      reason: 'STORE_FAILED',
      message: expect.stringContaining('EIO'),
    });
  });
});
