import { createHash } from 'node:crypto';
import { sha256 } from '../artefact-digest.ts';
import type { ArtefactFileInfo } from '../artefacts.ts';
import { Lru } from '../lru.ts';
import { inOrder } from './in-order.ts';

/** What is fetched, verified and held at once. */
export const BLOCK_BYTES = 2 * 1024 * 1024;
const AT_ONCE = 4;
const MOST_FILES = 200;

/** Fetches bytes `start` to `end` (exclusive) of a file. */
export type Fetch = (start: number, end: number) => Promise<Buffer>;

export function blocksFrom(fetch: Fetch, { sizeBytes }: ArtefactFileInfo, first = 0): AsyncGenerator<Buffer> {
  // An empty file has one block too: whether it is there, and empty, is found out like everything else.
  const count = Math.max(1, Math.ceil(sizeBytes / BLOCK_BYTES));
  const tasks = Array.from({ length: count - first }, (_, index) => {
    const start = (first + index) * BLOCK_BYTES;
    return () => fetch(start, Math.min(start + BLOCK_BYTES, sizeBytes));
  });
  return inOrder(tasks, AT_ONCE);
}

/**
 * Digests of the blocks of files whose own digest was compared: with them bytes from any offset on are verified as they are read, and each of them is
 * fetched once. Named by the file's digest, they hold for ever.
 */
export class KnownBlocks {
  readonly #digests = new Lru<readonly string[]>(MOST_FILES);

  /** Of bytes that are at hand. */
  learn({ sha256: name }: ArtefactFileInfo, bytes: Uint8Array): void {
    if (bytes.length <= BLOCK_BYTES) return;
    const starts = Array.from({ length: Math.ceil(bytes.length / BLOCK_BYTES) }, (_, index) => index * BLOCK_BYTES);
    this.#digests.set(
      name,
      starts.map((start) => sha256(bytes.subarray(start, start + BLOCK_BYTES))),
    );
  }

  /** Reads the whole file if need be. @returns undefined when its bytes are not those of its digest. */
  async of(file: ArtefactFileInfo, fetch: Fetch): Promise<readonly string[] | undefined> {
    if (file.sizeBytes <= BLOCK_BYTES) return [file.sha256];
    const known = this.#digests.get(file.sha256);
    if (known) return known;
    const whole = createHash('sha256');
    const digests: string[] = [];
    for await (const block of blocksFrom(fetch, file)) {
      whole.update(block);
      digests.push(sha256(block));
    }
    if (whole.digest('hex') !== file.sha256) return undefined;
    this.#digests.set(file.sha256, digests);
    return digests;
  }
}
