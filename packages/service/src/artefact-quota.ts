import { status } from '@grpc/grpc-js';
import { artefactDigest, describeFiles } from './artefact-digest.ts';
import { type ArtefactKind, type ArtefactStore, artefactKinds } from './artefacts.ts';
import { JsigrError, resourceExhausted } from './errors.ts';

/** How old the count of what a store holds may be, in milliseconds: others put into it as well, and to count is to list everything. */
const COUNT_MS = 1000;

/**
 * A store that refuses what does not fit into a quota. What others put within the last second is not counted yet: a limit on what piles up, not on the last byte.
 * @param mostBytes that all artefacts together may have; absent: the store as it is
 * @param now milliseconds that never go back
 */
export function withQuota(
  store: ArtefactStore,
  mostBytes: number | undefined,
  now: () => number = () => performance.now(),
): ArtefactStore {
  if (mostBytes === undefined) return store;
  let [held, counted] = [0, Number.NEGATIVE_INFINITY];
  let sizes = new Map<string, number>(); // what an artefact is never changes: each is looked at once
  const count = async () => {
    const now = new Map<string, number>();
    for (const kind of artefactKinds)
      for (const { digest } of await store.list(kind)) {
        const key = `${kind}/${digest}`;
        now.set(key, sizes.get(key) ?? (await sizeOf(store, kind, digest)));
      }
    sizes = now;
    return [...now.values()].reduce((sum, size) => sum + size, 0);
  };
  return {
    ...store,
    async put(kind, files) {
      const described = describeFiles(files);
      // What is there already takes no room.
      if (await store.has(kind, artefactDigest(described))) return store.put(kind, files);
      if (now() - counted > COUNT_MS) [held, counted] = [await count(), now()];
      const wanted = bytesOf(described);
      if (held + wanted > mostBytes)
        throw resourceExhausted(
          'STORE_FULL',
          `the artefact store is full: it holds ${held} bytes, ${wanted} more are over the ${mostBytes} that it may hold (artefactBytes)`,
          'jsigr gc removes what nothing refers to; or raise the limit',
        );
      const info = await store.put(kind, files);
      held += wanted;
      return info;
    },
  };
}

/** 0 if it has been removed meanwhile, or if its list of files is damaged: that is no reason to take nothing more. */
async function sizeOf(store: ArtefactStore, kind: ArtefactKind, digest: string): Promise<number> {
  try {
    return bytesOf((await store.info(kind, digest)).files);
  } catch (error) {
    const { code, reason } = JsigrError.from(error);
    if (code === status.NOT_FOUND || reason === 'ARTEFACT_CORRUPT') return 0;
    throw error;
  }
}

function bytesOf(files: readonly { readonly sizeBytes: number }[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
