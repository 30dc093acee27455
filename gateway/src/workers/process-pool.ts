import { randomUUID } from 'node:crypto';
import { access } from 'node:fs/promises';
import {
  type ClientTls,
  Condition,
  JsigrError,
  type Logger,
  type TlsFiles,
  tlsEnvironment,
  unavailable,
  unlessAborted,
  type WorkerKindName,
} from '@jsigr/service';
import { deferred } from '../deferred.ts';
import { type Child, startChild } from './child-process.ts';
import type { WorkerCredentials } from './credentials.ts';
import { isServing } from './health.ts';
import type { AcquireOptions, ReleaseOptions, Worker, WorkerPool, WorkerStatus } from './pool.ts';
import type { Registration, WorkerRegistry } from './registry.ts';

export interface ProcessPoolOptions {
  readonly registry: WorkerRegistry;
  /** host:port of the gateway, where workers register. */
  readonly gatewayAddress: () => string;
  readonly credentials: WorkerCredentials;
  /** What workers show and believe; and how they are believed. Absent: nothing is encrypted. */
  readonly tls?: { readonly files: TlsFiles; readonly client: ClientTls } | undefined;
  /** Path of the program of each kind. */
  readonly entry: (kind: WorkerKindName) => string;
  /** Variables of the environment that are the same for all workers: where artefacts lie, what they compute with, whom they may ask. */
  readonly variables?: Readonly<Record<string, string>>;
  /** How often workers keep what a run could go on from, in seconds; theirs unless told. */
  readonly stateSeconds?: number;
  /** How long a worker may take to hand its work back, in milliseconds. */
  readonly graceMs?: number;
  /** How long a worker that nobody uses is kept, in milliseconds. */
  readonly idleMs: Readonly<Record<WorkerKindName, number>>;
  readonly logger: Logger;
  /** How long a worker may take from its start to its registration, in milliseconds. */
  readonly startMs?: number;
}

/** Processes of a kind that there may be at once: requests for explanations share one. */
const AT_MOST: Record<WorkerKindName, number> = { trainer: 64, attacker: 64, explainer: 1 };
const START_MS = 60_000;
const HEALTH_MS = 5000;
const GRACE_MS = 8000;
/** For what a worker does after its work was handed back. */
const LEAVE_MS = 3000;

/** What the pool knows of one process. */
interface Entry {
  readonly id: string;
  readonly kind: WorkerKindName;
  readonly threads: number | undefined;
  readonly child: Child;
  readonly worker: Promise<Worker>;
  address: string;
  users: number;
  capacity: number;
  stopping: boolean;
  idle: NodeJS.Timeout | undefined;
}

/** Workers as processes of this machine. */
export class ProcessPool implements WorkerPool {
  readonly #options: ProcessPoolOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #changed = new Condition();
  #closed = false;

  constructor(options: ProcessPoolOptions) {
    this.#options = options;
  }

  async acquire(kind: WorkerKindName, options: AcquireOptions): Promise<Worker> {
    const { signal } = options;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#closed) throw unavailable('WORKER_POOL_CLOSED', 'the gateway is stopping');
      const entry = this.#withRoom(kind, options) ?? this.#startIfAllowed(kind, options);
      // Nothing is awaited between finding a worker and using it: two requests must not find the same one.
      if (entry) return this.#use(entry, signal);
      await this.#changed.until(() => this.#closed || this.#mayHaveRoom(kind, options), signal ? { signal } : {});
    }
  }

  /** Processes end with their gateway: what they had kept is what the run goes on from. */
  async adopt(): Promise<undefined> {}

  leave(): boolean {
    return false;
  }

  async release(worker: Worker, { discard = false }: ReleaseOptions = {}): Promise<void> {
    const entry = this.#entries.get(worker.id);
    if (!entry) return;
    entry.users--;
    if (entry.users === 0) {
      if (discard) await this.#stop(entry);
      else this.#stopWhenIdle(entry);
    }
    this.#changed.notify();
  }

  list(): readonly WorkerStatus[] {
    return [...this.#entries.values()].map(({ id, kind, address, users }) => ({ id, kind, address, users }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#changed.notify();
    await Promise.all([...this.#entries.values()].map((entry) => this.#stop(entry)));
  }

  /** Waits for a worker that is starting, or takes one that is up. */
  async #use(entry: Entry, signal: AbortSignal | undefined): Promise<Worker> {
    entry.users++;
    clearTimeout(entry.idle);
    try {
      return await unlessAborted(entry.worker, signal);
    } catch (error) {
      entry.users--;
      if (entry.users === 0) await this.#abandon(entry, signal);
      throw error;
    }
  }

  /**
   * Nobody waits for the process that is still starting. One that requests share is kept for those to come: if every request were less patient
   * than a start is long, there would never be one.
   */
  async #abandon(entry: Entry, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted && AT_MOST[entry.kind] === 1) this.#stopWhenIdle(entry);
    else await this.#stop(entry);
  }

  #withRoom(kind: WorkerKindName, { threads }: AcquireOptions): Entry | undefined {
    return [...this.#entries.values()].find(
      (entry) => entry.kind === kind && entry.threads === threads && !entry.stopping && entry.users < entry.capacity,
    );
  }

  #mayHaveRoom(kind: WorkerKindName, options: AcquireOptions): boolean {
    return this.#withRoom(kind, options) !== undefined || this.#count(kind) < AT_MOST[kind];
  }

  #count(kind: WorkerKindName): number {
    return [...this.#entries.values()].filter((entry) => entry.kind === kind).length;
  }

  #startIfAllowed(kind: WorkerKindName, options: AcquireOptions): Entry | undefined {
    if (this.#count(kind) >= AT_MOST[kind]) return undefined;
    const entry = this.#start(kind, options);
    this.#entries.set(entry.id, entry);
    return entry;
  }

  #start(kind: WorkerKindName, { run, threads }: AcquireOptions): Entry {
    const { gatewayAddress, credentials, tls, variables, logger } = this.#options;
    const { stateSeconds, graceMs = GRACE_MS } = this.#options;
    const id = randomUUID();
    const token = credentials.worker(id);
    const child = startChild({
      entry: this.#options.entry(kind),
      environment: {
        JSIGR_GATEWAY: gatewayAddress(),
        JSIGR_WORKER_ID: id,
        JSIGR_WORKER_TOKEN: token,
        JSIGR_HOST: '127.0.0.1',
        JSIGR_PORT: '0',
        JSIGR_GRACE_SECONDS: String(graceMs / 1000),
        ...(stateSeconds === undefined ? {} : { JSIGR_STATE_SECONDS: String(stateSeconds) }),
        ...tlsEnvironment(tls?.files),
        ...variables,
        ...(threads === undefined ? {} : { JSIGR_THREADS: String(threads) }),
      },
      onLine: (line) => logger.debug({ kind, worker: id }, line),
    });
    logger.info({ kind, worker: id, pid: child.pid, run }, `starting a ${kind}`);
    const lost = deferred<string>();
    const registered = this.#registration(id, kind, (reason) => {
      lost.resolve(reason);
      // One that left ends by itself; one whose lease ran out does not answer, and what it does not write any more need not be waited for.
      if (reason !== 'left') child.kill();
      void this.#stop(entry);
    });
    void child.ended.then((how) => {
      lost.resolve(how);
      this.#remove(entry);
    });
    const entry: Entry = {
      id,
      kind,
      threads,
      child,
      worker: this.#ready(kind, lost.promise, registered).then(({ address, capacity, fencingToken }) => {
        Object.assign(entry, { address, capacity });
        this.#changed.notify();
        const inWords = lost.promise.then((how) => `the ${kind} (process ${child.pid}) ${how}`);
        return { id, kind, address, token, tls: tls?.client, fencingToken, lost: inWords };
      }),
      address: '',
      users: 0,
      // Until it says how much it takes: whoever comes while an explainer starts waits for this one.
      capacity: kind === 'explainer' ? Number.POSITIVE_INFINITY : 1,
      stopping: false,
      idle: undefined,
    };
    entry.worker.catch(() => undefined);
    return entry;
  }

  #registration(id: string, kind: WorkerKindName, onGone: (reason: string) => void) {
    return new Promise<Registration>((resolve) => {
      this.#options.registry.expect(id, { kind, onRegistered: resolve, onGone });
    });
  }

  /** Registered, and healthy. @throws JsigrError WORKER_START_FAILED */
  async #ready(kind: WorkerKindName, lost: Promise<string>, registered: Promise<Registration>): Promise<Registration> {
    const { startMs = START_MS } = this.#options;
    const late = deferred<string>();
    const timer = setTimeout(() => late.resolve(`did not register within ${startMs / 1000} s`), startMs);
    try {
      const first = await Promise.race([registered, lost, late.promise]);
      if (typeof first === 'string') throw startFailed(kind, first);
      const serving = await Promise.race([
        isServing({ address: first.address, tls: this.#options.tls?.client }, HEALTH_MS).catch(messageOf),
        lost,
      ]);
      if (serving !== true) throw startFailed(kind, serving || 'says that it does not serve');
      return first;
    } finally {
      clearTimeout(timer);
    }
  }

  #stopWhenIdle(entry: Entry): void {
    entry.idle = setTimeout(() => void this.#stop(entry), this.#options.idleMs[entry.kind]).unref();
  }

  async #stop(entry: Entry): Promise<void> {
    entry.stopping = true;
    clearTimeout(entry.idle);
    const { graceMs = GRACE_MS } = this.#options;
    await entry.child.stop(graceMs + LEAVE_MS);
    this.#remove(entry);
  }

  #remove(entry: Entry): void {
    clearTimeout(entry.idle);
    this.#options.registry.forget(entry.id);
    this.#entries.delete(entry.id);
    this.#changed.notify();
  }
}

function startFailed(kind: WorkerKindName, why: string): JsigrError {
  return unavailable('WORKER_START_FAILED', `the ${kind} did not start: it ${why}`);
}

function messageOf(error: unknown): string {
  return `did not answer: ${JsigrError.from(error).message}`;
}

/** @throws JsigrError WORKER_NOT_BUILT when a program is not there. */
export async function checkEntries(entry: (kind: WorkerKindName) => string): Promise<void> {
  for (const kind of ['trainer', 'attacker', 'explainer'] as const)
    await access(entry(kind)).catch(() => {
      throw unavailable('WORKER_NOT_BUILT', `the ${kind}'s program ${entry(kind)} is not there`, 'npm run build');
    });
}
