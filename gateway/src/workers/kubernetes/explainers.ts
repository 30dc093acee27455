import { Condition, unavailable } from '@jsigr/service';
import type { Demand } from '../../application/scaler.ts';
import { deferred } from '../../deferred.ts';
import type { Worker, WorkerStatus } from '../pool.ts';
import type { Expected, WorkerRegistry } from '../registry.ts';

const HISTORY_MS = 60_000;

interface Seat {
  readonly worker: Worker;
  readonly capacity: number;
  /** Tells who uses it what became of it. */
  readonly lose: (how: string) => void;
  users: number;
  /** It finishes what it has, and is given nothing more. */
  draining: boolean;
}

export interface ExplainersOptions {
  readonly registry: WorkerRegistry;
  /** Certificates of the gateway, where workers are called with them. */
  readonly tls?: Worker['tls'];
  /** Called when a pod has got its first request, or ended its last. */
  readonly onBusy?: (pod: string, busy: boolean) => void;
}

/**
 * The explainers that have registered, 0..N: somebody else starts and stops them (KEDA, by the demand). Each request goes to the one with the most room; while
 * there is none, or none with room, requests wait until their deadlines.
 */
export class Explainers implements Demand {
  readonly #options: ExplainersOptions;
  readonly #seats = new Map<string, Seat>();
  readonly #changed = new Condition();
  /** How many requests there were, from when on; the newest last. */
  readonly #history: { readonly since: number; readonly count: number }[] = [];
  #waiting = 0;
  #closed = false;

  constructor(options: ExplainersOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#waiting + [...this.#seats.values()].reduce((sum, { users }) => sum + users, 0);
  }

  async changed(signal: AbortSignal, timeoutMs?: number): Promise<void> {
    const { count } = this;
    const options = timeoutMs === undefined ? { signal } : { signal, timeoutMs };
    await this.#changed.until(() => this.count !== count, options);
  }

  peakSince(time: number): number {
    // What held at that time began before it.
    const within = this.#history.filter((_, i) => (this.#history[i + 1]?.since ?? Number.POSITIVE_INFINITY) > time);
    return Math.max(0, ...within.map(({ count }) => count));
  }

  lastTime(): number | undefined {
    if (this.count > 0) return performance.now();
    return this.#history.findLast(({ count }) => count === 0)?.since;
  }

  async acquire(signal: AbortSignal | undefined): Promise<Worker> {
    this.#waiting++;
    this.#note();
    try {
      for (;;) {
        signal?.throwIfAborted();
        if (this.#closed) throw unavailable('WORKER_POOL_CLOSED', 'the gateway is stopping');
        const seat = this.#withRoom();
        if (seat) {
          seat.users++;
          if (seat.users === 1) this.#options.onBusy?.(seat.worker.id, true);
          return seat.worker;
        }
        await this.#changed.until(() => this.#closed || this.#withRoom() !== undefined, signal ? { signal } : {});
      }
    } finally {
      this.#waiting--;
      this.#note();
    }
  }

  /** @param discard it broke under a request: it is given no other one, and starts anew when it learns that its lease is over */
  release({ id, fencingToken }: Worker, discard = false): void {
    const seat = this.#seats.get(id);
    // A container that was started again in its pod is another explainer.
    if (seat?.worker.fencingToken === fencingToken) {
      seat.users--;
      if (seat.users === 0) this.#options.onBusy?.(id, false);
      if (discard) this.lose(id, 'broke under a request');
    }
    this.#note();
  }

  /** Of a pod that has ended; requests with it are told so. */
  lose(id: string, how: string): void {
    const seat = this.#seats.get(id);
    if (!seat) return;
    this.#seats.delete(id);
    this.#options.registry.forget(id);
    seat.lose(how);
    this.#note();
  }

  list(): readonly WorkerStatus[] {
    return [...this.#seats.values()].map(({ worker: { id, kind, address }, users }) => ({ id, kind, address, users }));
  }

  close(): void {
    this.#closed = true;
    for (const id of this.#seats.keys()) this.#options.registry.forget(id);
    this.#seats.clear();
    this.#note();
  }

  /** What the registry is to do with an explainer that it lets in. */
  expect(id: string, token: string): Expected {
    return {
      kind: 'explainer',
      onRegistered: ({ address, capacity, fencingToken }) => {
        this.#seats.get(id)?.lose('was started again');
        const { promise, resolve: lose } = deferred<string>();
        const lost = promise.then((how) => `the explainer (pod ${id}) ${how}`);
        const { tls } = this.#options;
        const worker = { id, kind: 'explainer' as const, address, token, tls, fencingToken, lost };
        this.#seats.set(id, { worker, capacity, lose, users: 0, draining: false });
        this.#note();
      },
      onDraining: () => {
        const seat = this.#seats.get(id);
        if (seat) seat.draining = true;
      },
      onGone: (reason) => this.lose(id, reason),
    };
  }

  #note(): void {
    const { count } = this;
    const now = performance.now();
    if (this.#history.at(-1)?.count !== count && (count > 0 || this.#history.length > 0))
      this.#history.push({ since: now, count });
    // One entry from before the window is what held at its beginning.
    while ((this.#history[1]?.since ?? now) < now - HISTORY_MS) this.#history.shift();
    this.#changed.notify();
  }

  /** The one with the most room, as a share of its capacity. */
  #withRoom(): Seat | undefined {
    return [...this.#seats.values()]
      .filter(({ users, capacity, draining }) => users < capacity && !draining)
      .sort((a, b) => a.users / a.capacity - b.users / b.capacity)[0];
  }
}
