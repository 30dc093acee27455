import type { Logger } from '@jsigr/service';

export interface WorkQueueOptions {
  /** @returns after how many milliseconds the key is to be looked at again; undefined: when something changes. */
  readonly work: (key: string) => Promise<number | undefined>;
  readonly logger: Logger;
  /** Keys that are worked on at once; each by one worker. */
  readonly workers?: number;
  /** Called after each piece of work, with how long it took. */
  readonly onWorked?: ((seconds: number) => void) | undefined;
  /** First pause after a failure of a key; it doubles with every further one, up to a minute. */
  readonly retryMs?: number;
}

const RETRY_MS = 100;
const RETRY_AT_MOST_MS = 60_000;

/**
 * Keys that something is to be done about. A key that is added while it is being worked on is worked on once more afterwards; one that is added many times
 * before its turn is worked on once.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #busy = new Map<string, Promise<void>>();
  readonly #timers = new Map<string, { readonly timer: NodeJS.Timeout; readonly at: number }>();
  readonly #failures = new Map<string, number>();
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  get idle(): boolean {
    return this.#waiting.size === 0 && this.#busy.size === 0;
  }

  add(key: string): void {
    if (this.#closed) return;
    this.#waiting.add(key);
    this.#next();
  }

  /** Adds the key later; a second call before that keeps the sooner of the two. */
  addAfter(key: string, ms: number): void {
    const [known, at] = [this.#timers.get(key), performance.now() + ms];
    if (this.#closed || (known && known.at <= at)) return;
    clearTimeout(known?.timer);
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      this.add(key);
    }, ms);
    this.#timers.set(key, { timer: timer.unref(), at });
  }

  /** Nothing new is begun; what is being worked on is waited for. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting.clear();
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    await Promise.all(this.#busy.values());
  }

  #next(): void {
    const { workers = 4 } = this.#options;
    for (const key of this.#waiting) {
      if (this.#busy.size >= workers) return;
      if (this.#busy.has(key)) continue;
      this.#waiting.delete(key);
      const done = this.#work(key).finally(() => {
        this.#busy.delete(key);
        this.#next();
      });
      this.#busy.set(key, done);
    }
  }

  async #work(key: string): Promise<void> {
    const { work, logger, onWorked, retryMs = RETRY_MS } = this.#options;
    const began = performance.now();
    try {
      const again = await work(key);
      this.#failures.delete(key);
      if (again !== undefined) this.addAfter(key, again);
    } catch (error) {
      const failures = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, failures);
      logger.warn({ key, failures }, error instanceof Error ? error.message : String(error));
      this.addAfter(key, Math.min(retryMs * 2 ** (failures - 1), RETRY_AT_MOST_MS));
    } finally {
      onWorked?.((performance.now() - began) / 1000);
    }
  }
}
