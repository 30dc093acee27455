import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@jsigr/service';
import { isCode, type KubernetesClient } from './client.ts';
import { type Collection, type KubernetesObject, pathOf } from './types.ts';

export interface InformerOptions {
  readonly client: Pick<KubernetesClient, 'namespace' | 'request' | 'watch'>;
  readonly collection: Collection;
  readonly labelSelector?: string;
  readonly logger: Logger;
  /** Everything is listed again so often, in milliseconds: what a watch lost comes to light. */
  readonly relistMs?: number;
  /** First pause after a failure; it doubles with every further one, up to 30 s. */
  readonly retryMs?: number;
}

interface List<T> {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items: readonly T[];
}

const RELIST_MS = 600_000;
const RETRY_MS = 200;
const RETRY_AT_MOST_MS = 30_000;
const PAGE = '500';

/** What there is of a kind, kept up to date. It goes on after every kind of failure: lists again, and watches from there. */
export class Informer<T extends KubernetesObject> {
  readonly #options: InformerOptions;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<(name: string, object: T | undefined) => void>();
  #objects = new Map<string, T>();
  #running: Promise<void> | undefined;
  #synced = false;
  #lists = 0;

  constructor(options: InformerOptions) {
    this.#options = options;
  }

  /** Everything was listed at least once. */
  get synced(): boolean {
    return this.#synced;
  }

  get lists(): number {
    return this.#lists;
  }

  get(name: string): T | undefined {
    return this.#objects.get(name);
  }

  all(): T[] {
    return [...this.#objects.values()];
  }

  /** Called with every object that is new, changed or (undefined) gone, and at every relist with all of them. */
  onChange(listener: (name: string, object: T | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new DOMException('stopped', 'AbortError'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { logger, collection, retryMs = RETRY_MS, relistMs = RELIST_MS } = this.#options;
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      try {
        let version = await this.#list();
        const relist = Date.now() + relistMs;
        failures = 0;
        while (!signal.aborted && Date.now() < relist) version = await this.#watch(version, relist - Date.now());
      } catch (error) {
        if (signal.aborted) return;
        // 410: the version is too old, which happens to watches that were quiet for long; a new list is all it takes.
        if (!isCode(error, 410)) failures++;
        const pause = Math.min(retryMs * 2 ** failures, RETRY_AT_MOST_MS) * (0.5 + Math.random() / 2);
        logger.warn({ ...collection, failures }, `watch ended: ${error instanceof Error ? error.message : error}`);
        await sleep(pause, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #list(): Promise<string> {
    const { client, collection, labelSelector } = this.#options;
    const { signal } = this.#stopping;
    const objects = new Map<string, T>();
    let token = '';
    for (;;) {
      const query = { limit: PAGE, ...(labelSelector ? { labelSelector } : {}), ...(token ? { continue: token } : {}) };
      const page = await client.request<List<T>>('GET', pathOf(collection, client.namespace), { query, signal });
      for (const object of page.items) objects.set(nameOf(object), object);
      token = page.metadata?.continue ?? '';
      if (token) continue;
      const gone = [...this.#objects.keys()].filter((name) => !objects.has(name));
      this.#objects = objects;
      this.#synced = true;
      this.#lists++;
      for (const name of gone) this.#tell(name, undefined);
      for (const [name, object] of objects) this.#tell(name, object);
      return page.metadata?.resourceVersion ?? '';
    }
  }

  /** Follows the changes until the server ends the watch or the time is over. @returns the version to go on from. */
  async #watch(from: string, forMs: number): Promise<string> {
    const { client, collection, labelSelector } = this.#options;
    let version = from;
    const over = AbortSignal.timeout(forMs);
    const query = { resourceVersion: from, ...(labelSelector ? { labelSelector } : {}) };
    try {
      const signal = AbortSignal.any([this.#stopping.signal, over]);
      for await (const { type, object } of client.watch<T>(collection, query, signal)) {
        version = object.metadata?.resourceVersion ?? version;
        if (type === 'BOOKMARK') continue;
        const name = nameOf(object);
        if (type === 'DELETED') this.#objects.delete(name);
        else this.#objects.set(name, object);
        this.#tell(name, type === 'DELETED' ? undefined : object);
      }
    } catch (error) {
      if (!over.aborted) throw error;
    }
    return version;
  }

  #tell(name: string, object: T | undefined): void {
    for (const listener of this.#listeners) listener(name, object);
  }
}

function nameOf({ metadata }: KubernetesObject): string {
  return metadata?.name ?? '';
}
