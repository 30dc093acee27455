import { resourceExhausted } from '@jsigr/service';
import { rateLimited, TokenBucket } from './token-bucket.ts';

/** What one tenant may ask for at once. */
export interface Limits {
  /** Calls a second in the long run, and how many may come at once. */
  readonly requestsPerSecond: number;
  readonly burst: number;
  /** Runs and evaluations that are not finished. */
  readonly activeRuns: number;
  /** Watch calls that are open, over both faces. */
  readonly watches: number;
  /** Uploads and exports that are going on: each holds a model in memory. */
  readonly transfers: number;
  /** Files that are read at once: of each up to 4 MiB wait for the client. */
  readonly reads: number;
  /** Explanations that wait or are computed: an explainer that has to be started first is waited for. */
  readonly explanations: number;
}

export const DEFAULT_LIMITS: Limits = {
  requestsPerSecond: 1000,
  burst: 2000,
  activeRuns: 10_000,
  watches: 2000,
  transfers: 4,
  reads: 64,
  explanations: 48,
};

type Held = 'watches' | 'transfers' | 'reads' | 'explanations';

const words: Record<Held, string> = {
  watches: 'watch calls',
  transfers: 'uploads and exports',
  reads: 'files that are read',
  explanations: 'explanations',
};

/** Keeps one tenant from taking what the others need. Every refusal is RESOURCE_EXHAUSTED, names the limit, and says what to do. */
export class TenantLimits {
  readonly #limits: Limits;
  readonly #now: () => number;
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #held = new Map<string, number>();
  /** Of each tenant at most so many runs are not finished: as many as were counted, and those that were let in since. */
  readonly #runs = new Map<string, number>();
  /** Runs that are let in, or may be, and not yet in the store. */
  readonly #making = new Map<string, number>();

  /** @param now milliseconds that never go back */
  constructor(limits: Partial<Limits> = {}, now: () => number = () => performance.now()) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#now = now;
  }

  /** Counts a call. @throws JsigrError RATE_LIMITED */
  request(tenant: string): void {
    const { requestsPerSecond, burst } = this.#limits;
    const now = this.#now();
    const bucket = this.#buckets.get(tenant) ?? new TokenBucket(requestsPerSecond, burst, now);
    const seconds = bucket.secondsToNext(now);
    if (seconds > 0)
      throw rateLimited(
        `the tenant ${tenant} makes more than ${requestsPerSecond} calls a second (limits.requestsPerSecond)`,
        seconds,
      );
    bucket.take(now);
    this.#buckets.set(tenant, bucket);
    if (this.#buckets.size > 1000) this.#forgetIdle(now);
  }

  /** Counts something that lasts; the function that it gives ends it. @throws JsigrError QUOTA_EXCEEDED */
  hold(tenant: string, what: Held): () => void {
    const key = `${what} ${tenant}`;
    const count = this.#held.get(key) ?? 0;
    const most = this.#limits[what];
    if (count >= most) throw exceeded(tenant, `${count} ${words[what]} open`, what, most);
    this.#held.set(key, count + 1);
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      const left = (this.#held.get(key) ?? 1) - 1;
      if (left > 0) this.#held.set(key, left);
      else this.#held.delete(key);
    };
  }

  /** What a source gives, which counts for as long as it lasts. @throws JsigrError QUOTA_EXCEEDED */
  async *during<T>(tenant: string, what: Held, source: AsyncIterable<T>): AsyncGenerator<T> {
    const release = this.hold(tenant, what);
    try {
      yield* source;
    } finally {
      release();
    }
  }

  /**
   * Makes another run, if there is room for it. `count` counts those that are not finished, up to `most`; those that are being made are counted here.
   * @throws JsigrError QUOTA_EXCEEDED; what `make` throws
   */
  async withRoomForRun<T>(
    tenant: string,
    count: (most: number) => Promise<number>,
    make: () => Promise<T>,
  ): Promise<T> {
    const making = this.#making.get(tenant) ?? 0;
    this.#making.set(tenant, making + 1);
    try {
      await this.#demandRoom(tenant, making, count);
      return await make();
    } finally {
      const left = (this.#making.get(tenant) ?? 1) - 1;
      if (left > 0) this.#making.set(tenant, left);
      else this.#making.delete(tenant);
    }
  }

  async #demandRoom(tenant: string, making: number, count: (most: number) => Promise<number>): Promise<void> {
    const most = this.#limits.activeRuns;
    const atMost = this.#runs.get(tenant);
    // Counting them all for each of many creations would take longer than creating.
    if (atMost !== undefined && atMost < most) return void this.#runs.set(tenant, atMost + 1);
    const found = (await count(most)) + making;
    this.#runs.set(tenant, found + 1);
    if (found >= most) throw exceeded(tenant, `${most} runs that are not finished`, 'activeRuns', most);
  }

  #forgetIdle(now: number): void {
    for (const [tenant, bucket] of this.#buckets) if (bucket.isFull(now)) this.#buckets.delete(tenant);
  }
}

function exceeded(tenant: string, has: string, limit: keyof Limits, most: number) {
  return resourceExhausted(
    'QUOTA_EXCEEDED',
    `the tenant ${tenant} has ${has}; at most ${most} are allowed (limits.${limit})`,
    'wait until some have ended, or cancel some',
  );
}
