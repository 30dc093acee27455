import {
  Condition,
  failedPrecondition,
  JsigrError,
  type Logger,
  unavailable,
  type WorkerKindName,
} from '@jsigr/service';
import type { Caller } from '../../access/caller.ts';
import { isCode, type KubernetesClient, KubernetesError } from '../../kubernetes/client.ts';
import { Informer } from '../../kubernetes/informer.ts';
import { type Job, jobs, type Pod, pathOf } from '../../kubernetes/types.ts';
import type { RunWorker } from '../../store/run-rows.ts';
import type { AcquireOptions, ReleaseOptions, Worker, WorkerPool, WorkerStatus } from '../pool.ts';
import type { WorkerRegistry } from '../registry.ts';
import type { Explainers } from './explainers.ts';
import { type JobRequest, jobName, labels, MANAGER, workerJob } from './job.ts';
import { shapedBy } from './job-template.ts';
import { endOf, failureOf, isFinished, waitingFor } from './pod-words.ts';
import { PodWorkers, type Seat } from './pod-workers.ts';
import { hasSucceeded } from './pods.ts';

export interface KubernetesPoolOptions {
  readonly client: KubernetesClient;
  readonly registry: WorkerRegistry;
  /** host:port of the gateway as pods reach it. */
  readonly gatewayAddress: () => string;
  /** Variables of the environment that are the same for all workers: where artefacts lie, what they compute with, whom they may ask. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Image of the workers, with `{kind}` for trainer or attacker. */
  readonly image: string;
  /** ConfigMap of partial Jobs, jsigr-workers unless told: `trainer.yaml` and `attacker.yaml` for one kind, any other key for both, in the order of the keys. */
  readonly templates?: string;
  /** How long a Job that nobody uses is kept, in milliseconds. */
  readonly idleMs?: number;
  /** First pause before a Job that could not be made, or was removed, is made again; it doubles. In milliseconds. */
  readonly againMs?: number;
  /** Certificates of the gateway, where workers are called with them. */
  readonly tls?: Worker['tls'];
  readonly logger: Logger;
}

/** Longer than a lease: so long a worker is waited for that an earlier gateway had. */
const IDLE_MS = 120_000;
const AGAIN_MS = 500;
const LAST_AGAIN_MS = 10_000;
/** So many Jobs in a row are made for one worker: somebody may remove each of them, as the garbage collector does when their owner is gone. */
const JOBS = 5;

/** Workers as pods of Jobs, one Job for a run and kind: Kubernetes starts them, replaces them and clears them away. Explainers are a Deployment's. */
export class KubernetesPool implements WorkerPool {
  readonly #options: KubernetesPoolOptions;
  readonly #jobs: Informer<Job>;
  readonly #workers: PodWorkers;
  /** How many acquire or use a worker of a Job. */
  readonly #users = new Map<string, number>();
  /** Jobs that the next attempt at their runs cannot use. */
  readonly #spoiled = new Set<string>();
  readonly #idle = new Map<string, NodeJS.Timeout>();
  readonly #changed = new Condition();
  /** Jobs stay as they are, for the next gateway. */
  #leaving = false;
  #closed = false;

  constructor(options: KubernetesPoolOptions) {
    this.#options = options;
    const { client, logger } = options;
    this.#jobs = new Informer({ client, logger, collection: jobs, labelSelector: `${labels.managedBy}=${MANAGER}` });
    this.#jobs.onChange((name, job) => {
      // Of a gateway before this one: whoever needs it acquires it soon.
      if (job && !isFinished(job) && !this.#users.has(name)) this.#removeWhenIdle(name);
      this.#changed.notify();
    });
    this.#workers = new PodWorkers({ ...options, changed: this.#changed });
    this.#jobs.start();
  }

  get explainers(): Explainers {
    return this.#workers.explainers;
  }

  /** See `PodWorkers.verify`. */
  verify(token: string): Promise<Caller | undefined> {
    return this.#workers.verify(token);
  }

  async acquire(kind: WorkerKindName, options: AcquireOptions): Promise<Worker> {
    if (this.#closed) throw unavailable('WORKER_POOL_CLOSED', 'the gateway is stopping');
    if (kind === 'explainer') return this.explainers.acquire(options.signal);
    const { run, labels: runLabels = {}, shard = { index: 0, count: 1 } } = options;
    const request = { kind, run, runLabels, shards: shard.count };
    const name = jobName(request);
    this.#use(name);
    try {
      for (let gone = 1; ; gone++) {
        await this.#ensure(request, options);
        const seat = await this.#seat(name, shard.index, options);
        if (seat) {
          seat.inUse = true;
          return seat.worker;
        }
        await this.#pause(name, gone, options);
      }
    } catch (error) {
      if (!this.#leaving) {
        this.#spoiled.add(name);
        await this.#leave(name);
      }
      throw error;
    }
  }

  async adopt(kind: WorkerKindName, worker: RunWorker, signal: AbortSignal): Promise<Worker | undefined> {
    const seat = await this.#workers.adopt(kind, worker, signal);
    if (seat) this.#use(seat.job);
    return seat?.worker;
  }

  async release(worker: Worker, { discard = false }: ReleaseOptions = {}): Promise<void> {
    if (worker.kind === 'explainer') return this.explainers.release(worker, discard);
    if (this.#leaving) return;
    const left = this.#workers.leave(worker.id);
    if (!left) return;
    const { seat, isGoing } = left;
    if (!discard && !seat.isLost) this.#options.registry.release(worker.id);
    // For a pod that was lost, or has to go, its Job makes another one by itself, or says why it does not (a queue suspended it, its deadline has passed).
    if (discard && !isGoing) this.#spoiled.add(seat.job);
    await this.#leave(seat.job);
  }

  leave(): boolean {
    this.#leaving = true;
    return true;
  }

  list(): readonly WorkerStatus[] {
    const seated = this.#workers
      .seats()
      .map(({ worker: { id, kind, address }, inUse }) => ({ id, kind, address, users: inUse ? 1 : 0 }));
    return [...seated, ...this.explainers.list()];
  }

  /** Workers go on: the gateway that comes next takes them over, and Jobs that it does not need it removes. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#idle.values()) clearTimeout(timer);
    const closed = Promise.all([this.#jobs.stop(), this.#workers.close()]);
    this.#changed.notify();
    await closed;
  }

  /** Makes the Job, unless it is there; while the API server is away, or does not take it yet, that is waited for. */
  async #ensure(request: JobRequest, { signal, onWaiting }: AcquireOptions): Promise<void> {
    const { againMs = AGAIN_MS } = this.#options;
    for (let wait = againMs; ; wait = Math.min(2 * wait, LAST_AGAIN_MS)) {
      signal?.throwIfAborted();
      if (this.#closed) throw unavailable('WORKER_POOL_CLOSED', 'the gateway is stopping');
      try {
        return await this.#make(request, signal);
      } catch (error) {
        if (!mayPass(error)) throw error;
        onWaiting?.(`its Job cannot be made yet: ${error instanceof Error ? error.message : error}`);
      }
      await this.#changed.until(() => this.#closed, { timeoutMs: wait, ...(signal ? { signal } : {}) });
    }
  }

  /** Before another Job is made in the place of one without a worker; none before the second. @throws JsigrError WORKER_START_FAILED after too many */
  async #pause(job: string, gone: number, { signal, onWaiting }: AcquireOptions): Promise<void> {
    const words = `the Job ${job} ended or was removed ${gone} times before it had a worker`;
    if (gone === JOBS) throw unavailable('WORKER_START_FAILED', words);
    if (gone === 1) return;
    onWaiting?.(words);
    const timeoutMs = (this.#options.againMs ?? AGAIN_MS) * 2 ** (gone - 2);
    await this.#changed.until(() => this.#closed, { timeoutMs, ...(signal ? { signal } : {}) });
  }

  async #make(request: JobRequest, signal: AbortSignal | undefined): Promise<void> {
    const { client, gatewayAddress, variables = {}, logger } = this.#options;
    const name = jobName(request);
    const image = this.#options.image.replace('{kind}', request.kind);
    const settings = { namespace: client.namespace, gateway: gatewayAddress(), image, variables };
    const { templates = 'jsigr-workers' } = this.#options;
    for (;;) {
      signal?.throwIfAborted();
      const known = this.#jobs.get(name);
      // Templates are for Jobs that begin: whatever became of them meanwhile, this one goes on.
      if (known && isOf(known, request)) return;
      if (known) {
        const failure = failureOf(known, undefined);
        if (failure?.isFinal) throw jobFailed(`the Job ${name} failed: ${failure.words}`, true);
        // Of an earlier attempt at the run.
        await client.remove(jobs, name);
        await this.#changed.until(() => this.#jobs.get(name) !== known, signal ? { signal } : {});
        continue;
      }
      const job = await shapedBy(client, templates, workerJob(request, settings), request.kind);
      try {
        await client.create(jobs, job);
        logger.info({ job: name, run: request.run }, `the Job ${name} was made`);
        return;
      } catch (error) {
        if (mayPass(error)) throw error;
        if (!isCode(error, 409))
          throw unavailable('WORKER_START_FAILED', `the ${request.kind}'s Job was refused: ${inWords(error)}`);
        await this.#changed.until(() => this.#jobs.get(name) !== undefined, signal ? { signal } : {});
      }
    }
  }

  /**
   * A registered pod of the Job that nobody uses; undefined when there will be none, because the Job has ended or is gone.
   * @throws JsigrError WORKER_START_FAILED once the Job has failed; the signal's reason.
   */
  async #seat(job: string, index: number, { signal, onWaiting }: AcquireOptions): Promise<Seat | undefined> {
    let said = '';
    let wasThere = false;
    for (;;) {
      const seat = this.#freeSeat(job, index);
      if (seat) return seat;
      if (this.#closed) throw unavailable('WORKER_POOL_CLOSED', 'the gateway is stopping');
      const [known, pod] = [this.#jobs.get(job), this.#workers.newestPod(job, index)];
      const failure = known && failureOf(known, pod);
      if (failure) throw jobFailed(`the Job ${job} failed: ${failure.words}`, failure.isFinal);
      wasThere ||= known !== undefined;
      if (wasThere && (!known || isFinished(known))) return undefined;
      if (known && pod && hasSucceeded(pod, known)) {
        await this.#options.client.remove(jobs, job);
        await this.#changed.until(() => this.#jobs.get(job) !== known, signal ? { signal } : {});
        return undefined;
      }
      const words = pod && endOf(pod) ? `its pod ${endOf(pod)}; waiting for the next one` : waitingFor(pod, known);
      if (words !== said) onWaiting?.(words);
      said = words;
      const timeoutMs = wasThere ? undefined : 2 * (this.#options.againMs ?? AGAIN_MS);
      const isNews = () => this.#isNews(job, index, known, pod);
      const heard = await this.#changed.until(isNews, { ...(timeoutMs && { timeoutMs }), ...(signal && { signal }) });
      // Made and removed again before the watch told of either.
      if (!heard && !(await this.#isThere(job))) return undefined;
    }
  }

  /** As the API server says; while it cannot be asked, as far as we know. */
  async #isThere(job: string): Promise<boolean> {
    const { client } = this.#options;
    const query = { fieldSelector: `metadata.name=${job}` };
    return client.request<{ readonly items: readonly Job[] }>('GET', pathOf(jobs, client.namespace), { query }).then(
      ({ items }) => items.length > 0,
      () => true,
    );
  }

  #isNews(job: string, index: number, known: Job | undefined, pod: Pod | undefined): boolean {
    return (
      this.#closed ||
      this.#jobs.get(job) !== known ||
      this.#workers.newestPod(job, index) !== pod ||
      this.#freeSeat(job, index) !== undefined
    );
  }

  #freeSeat(job: string, index: number): Seat | undefined {
    return this.#workers.free(job, index, this.#jobs.get(job));
  }

  #use(job: string): void {
    this.#users.set(job, (this.#users.get(job) ?? 0) + 1);
    clearTimeout(this.#idle.get(job));
    this.#idle.delete(job);
  }

  /** The last one out removes a Job of no more use; one that goes on by itself only when nobody comes back to it. */
  async #leave(job: string): Promise<void> {
    const users = (this.#users.get(job) ?? 1) - 1;
    if (users > 0) return void this.#users.set(job, users);
    this.#users.delete(job);
    const known = this.#jobs.get(job);
    // One that failed for good says so to whoever would begin again.
    const hasFailed = known !== undefined && failureOf(known, undefined)?.isFinal === true;
    if (this.#spoiled.delete(job) && !hasFailed) await this.#remove(job);
    else this.#removeWhenIdle(job);
  }

  #removeWhenIdle(job: string): void {
    if (this.#idle.has(job) || this.#closed) return;
    const timer = setTimeout(() => {
      this.#idle.delete(job);
      const known = this.#jobs.get(job);
      if (known && !isFinished(known)) void this.#remove(job);
    }, this.#options.idleMs ?? IDLE_MS);
    this.#idle.set(job, timer.unref());
  }

  /** A Job that cannot be removed now is removed when it is idle. */
  async #remove(job: string): Promise<void> {
    await this.#options.client.remove(jobs, job).catch((error) => {
      this.#options.logger.warn({ job }, `the Job could not be removed: ${inWords(error)}`);
      this.#removeWhenIdle(job);
    });
  }
}

/** What an admin or time mends: a template, an API server that is away or busy, has just started and does not know who may what yet, or a quota (both are 403). */
function mayPass(error: unknown): boolean {
  if (error instanceof JsigrError) return ['TEMPLATE_UNREADABLE', 'BAD_JOB_TEMPLATE'].includes(error.reason);
  return error instanceof KubernetesError && ([0, 403, 429].includes(error.code) || error.code >= 500);
}

/** @param isFinal another Job would fail in the same way */
function jobFailed(message: string, isFinal: boolean): JsigrError {
  return isFinal ? failedPrecondition('WORKER_FAILED', message) : unavailable('WORKER_START_FAILED', message);
}

/** It goes on, and has a pod for each of the workers that are wanted by now. */
function isOf(job: Job, { shards }: JobRequest): boolean {
  return !isFinished(job) && !job.metadata?.deletionTimestamp && job.spec?.completions === shards;
}

function inWords(error: unknown): string {
  return JsigrError.from(error).message;
}
