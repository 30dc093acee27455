import type { WorkerKindName } from '@jsigr/service';

/** A worker that serves whoever acquired it. */
export interface Worker {
  readonly id: string;
  readonly kind: WorkerKindName;
  /** host:port of its gRPC server. */
  readonly address: string;
  /** Resolves, and never rejects, once the worker is gone: what became of it, in plain words. */
  readonly lost: Promise<string>;
}

export interface AcquireOptions {
  /** What it is needed for, e.g. `trainingRuns/abc`; for logs. */
  readonly run: string;
  /** Threads that it computes with; absent: as many as it likes. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
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
  release(worker: Worker, options?: ReleaseOptions): Promise<void>;
  /** Workers that there are at the moment. */
  list(): readonly WorkerStatus[];
  /** Stops all workers, those in use as well. */
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

/** Runs the work with a worker, and gives the worker back whatever happens; after an error it is discarded. */
export async function withWorker<T>(
  pool: WorkerPool,
  kind: WorkerKindName,
  options: AcquireOptions,
  work: (worker: Worker) => Promise<T>,
): Promise<T> {
  const worker = await pool.acquire(kind, options);
  let discard = true;
  try {
    const result = await work(worker);
    discard = false;
    return result;
  } finally {
    await pool.release(worker, { discard });
  }
}
