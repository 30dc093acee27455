import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withQuota } from './artefact-quota.ts';
import type { ArtefactStore } from './artefacts.ts';
import { directoryArtefactStore } from './directory-artefacts.ts';

let root: string;
let now: number;
let others: ArtefactStore;
let store: ArtefactStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-quota-'));
  now = 0;
  others = directoryArtefactStore(root);
  store = withQuota(directoryArtefactStore(root), 100, () => now);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const file = (fill: number, size = 40) => ({ file: new Uint8Array(size).fill(fill) });

describe('a store with a quota', () => {
  it('takes what fits, refuses what does not, and is as it was', async () => {
    await store.put('models', file(1));
    await store.put('ledgers', file(2));
    await expect(store.put('models', file(3))).rejects.toMatchObject({
      reason: 'STORE_FULL',
      message: expect.stringMatching(/holds 80 bytes, 40 more are over the 100/),
    });
    expect((await store.list('models')).length).toBe(1);
    expect(await store.sweep({ olderThanMs: 0 })).toMatchObject({ count: 0 });
    await store.put('models', file(4, 20));
  });

  it('takes again what is there already', async () => {
    const { digest } = await store.put('models', file(1, 100));
    expect((await store.put('models', file(1, 100))).digest).toBe(digest);
  });

  it('counts what others put, and has room again once something was removed', async () => {
    const { digest } = await others.put('models', file(1, 90));
    await expect(store.put('models', file(2))).rejects.toMatchObject({ reason: 'STORE_FULL' });
    await others.remove('models', digest);
    now += 1001;
    await store.put('models', file(2));
  });

  it('is the store itself where there is no limit', () => {
    expect(withQuota(others, undefined)).toBe(others);
  });
});
