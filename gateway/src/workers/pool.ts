import { createHash } from 'node:crypto';
import { inSpan, type Peer, type WorkerKindName } from '@jsigr/service';
import type { RunWorker } from '../store/run-rows.ts';

/** A worker that serves whoever acquired it. */
export interface Worker extends Peer {
  readonly id: string;
  readonly kind: WorkerKindName;
  /** Of its lease: newer workers have larger ones. */
  readonly fencingToken: number;
  /** Resolves, and never rejects, once the worker is gone: what became of it, in plain words. */
  readonly lost: Promise<string>;
}

export interface AcquireOptions {
  /** What it is needed for, e.g. `trainingRuns/abc`; for logs. */
  readonly run: string;
  /** Threads that it computes with; absent: as many as it likes. */
  readonly threads?: number;
  /** The run's own labels; by them its workers belong to the resource that it came from. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Which of the workers that share the rest of the run's samples it is, from 0; absent: there is one. */
  readonly shard?: Shard;
  /** Called when the worker cannot be had yet: what it waits for, in plain words. */
  readonly onWaiting?: (why: string) => void;
  readonly signal?: AbortSignal;
}

export interface Shard {
  readonly index: number;
  readonly count: number;
}

export interface ReleaseOptions {
  /** The worker may still be busy with what it was told, or in a state that nobody knows: stop it. */
  readonly discard?: boolean;
}

/** Starts workers when they are needed and stops them when they are not. */
export interface WorkerPool {
  /**
   * A worker that is registered and healthy: an idle one, one with room for another request, or a new one.
   * @throws JsigrError WORKER_START_FAILED saying why; the signal's reason once it is aborted.
   */
  acquire(kind: WorkerKindName, options: AcquireOptions): Promise<Worker>;
  /**
   * A worker that an earlier gateway gave a run to, if it outlives gateways and still lives: it is in use, and its lease goes on, from the moment of the call.
   * Undefined, at the latest when that lease has run out or the signal is aborted: there is none any more.
   */
  adopt(kind: WorkerKindName, worker: RunWorker, signal: AbortSignal): Promise<Worker | undefined>;
  release(worker: Worker, options?: ReleaseOptions): Promise<void>;
  /**
   * Before the gateway stops: workers that outlive it are from now on left at what they do, whoever releases them, and those that cannot be had yet stay wanted.
   * @returns false where workers end with their gateway
   */
  leave(): boolean;
  /** Workers that there are at the moment. */
  list(): readonly WorkerStatus[];
  /** Stops all workers that do not outlive the gateway, those in use as well. */
  close(): Promise<void>;
}

export interface WorkerStatus {
  readonly id: string;
  readonly kind: WorkerKindName;
  /** Empty while it starts. */
  readonly address: string;
  /** How many have acquired it and not released it. */
  readonly users: number;
}

/** What the store keeps of a worker's token: the next gateway knows it again by that, and nobody can make it of that. */
export function tokenDigest(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}

/** Runs the work with a worker, and gives the worker back whatever happens; after an error it is discarded. */
export async function withWorker<T>(
  pool: WorkerPool,
  kind: WorkerKindName,
  options: AcquireOptions,
  work: (worker: Worker) => Promise<T>,
): Promise<T> {
  return usingWorker(pool, await acquireWorker(pool, kind, options), work);
}

/** `pool.acquire`, with a span: a worker may have to be started. */
export function acquireWorker(pool: WorkerPool, kind: WorkerKindName, options: AcquireOptions): Promise<Worker> {
  const attributes = { 'jsigr.worker.kind': kind, 'jsigr.run': options.run };
  return inSpan(`acquire ${kind}`, { attributes }, async (span) => {
    const worker = await pool.acquire(kind, options);
    span.setAttributes({ 'jsigr.worker.id': worker.id, 'server.address': worker.address });
    return worker;
  });
}

/** The same with a worker that is in use already. */
export async function usingWorker<T>(
  pool: WorkerPool,
  worker: Worker,
  work: (worker: Worker) => Promise<T>,
): Promise<T> {
  let discard = true;
  try {
    const result = await work(worker);
    discard = false;
    return result;
  } finally {
    await pool.release(worker, { discard });
  }
}
