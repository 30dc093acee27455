import type { RunEvent } from '@jsigr/proto';
import { JsigrError, traceParent } from '@jsigr/service';
import type { Audit } from '../access/audit.ts';
import { type Caller, demandOwner, visibleTenants } from '../access/caller.ts';
import type { TenantLimits } from '../access/limits.ts';
import type { Method } from '../access/table.ts';
import type { Conductor } from '../conductor/conductor.ts';
import type { PageRequest } from '../store/paging.ts';
import { runCollections, type StoredRun } from '../store/run-rows.ts';
import type { NewRun, RunStore } from '../store/runs.ts';
import type { RunKind } from '../store/schema.ts';
import type { Datasets } from './datasets.ts';
import type { Models } from './models.ts';
import { idOf } from './names.ts';
import { watchRun } from './watch.ts';

/** The methods of a kind of run, as both faces call them. */
export interface RunMethods<Create, Run, List> {
  create(request: Create, caller: Caller): Promise<Run>;
  get(request: RunRequest, caller: Caller): Promise<Run>;
  /** Newest first. */
  list(request: PageRequest, caller: Caller): Promise<List>;
  cancel(request: CancelRequest, caller: Caller): Promise<Run>;
  watch(request: WatchRequest, caller: Caller, signal: AbortSignal): AsyncIterable<{ event: RunEvent }>;
}

export interface RunRequest {
  readonly name: string;
}
export interface CancelRequest extends RunRequest {
  readonly etag: string;
}
export interface WatchRequest extends RunRequest {
  readonly afterSequence: number;
}

/** What runs of either kind are made with. */
export interface RunMeans {
  readonly runs: RunStore;
  readonly datasets: Datasets;
  readonly models: Models;
  readonly conductor: Conductor;
  readonly audit: Audit;
  readonly limits: TenantLimits;
}

/** What is audited, by what was done. */
const audited = {
  training: {
    create: 'jsigr.v1.TrainingService/CreateTrainingRun',
    cancel: 'jsigr.v1.TrainingService/CancelTrainingRun',
  },
  evaluation: {
    create: 'jsigr.v1.EvaluationService/CreateEvaluation',
    cancel: 'jsigr.v1.EvaluationService/CancelEvaluation',
  },
} as const satisfies Record<RunKind, Record<string, Method>>;

/** What is done alike with training runs and evaluations. `T` is the contract's message. */
export abstract class Runs<T> {
  protected readonly means: RunMeans;
  readonly #kind: RunKind;

  constructor(kind: RunKind, means: RunMeans) {
    this.#kind = kind;
    this.means = means;
  }

  /** A stored run as the contract has it; what follows from its events lies in the summary. */
  protected abstract view(run: StoredRun): T;

  async get({ name }: RunRequest, caller: Caller): Promise<T> {
    return this.view(await this.means.runs.get(this.#kind, this.#id(name), visibleTenants(caller)));
  }

  /** @throws JsigrError FAILED_PRECONDITION RUN_FINISHED; ABORTED ETAG_MISMATCH */
  async cancel({ name, etag }: CancelRequest, caller: Caller): Promise<T> {
    const { runs, conductor, audit } = this.means;
    const id = this.#id(name);
    const { tenant } = await runs.get(this.#kind, id, visibleTenants(caller));
    demandOwner(caller, tenant);
    const run = await conductor.cancel(this.#kind, id, etag);
    audit.record(caller, audited[this.#kind].cancel, name);
    return this.view(run);
  }

  /** Keeps a run that was checked, as one of the caller's tenant, and queues it. @throws JsigrError QUOTA_EXCEEDED; ALREADY_EXISTS */
  protected async keep(run: Omit<NewRun, 'kind' | 'tenant'>, caller: Caller): Promise<T> {
    const { runs, conductor, audit, limits } = this.means;
    const { tenant } = caller;
    const kind = this.#kind;
    const kept = await limits
      .withRoomForRun(
        tenant,
        (most) => runs.countActive(tenant, most),
        () => runs.create({ ...run, kind, tenant, traceParent: traceParent() }),
      )
      .catch(async (error) => {
        if (JsigrError.from(error).reason !== 'QUOTA_EXCEEDED') throw error;
        // What was made before needs no room.
        const earlier = run.request && (await runs.requested({ kind, tenant }, run.request));
        if (earlier) return earlier;
        throw error;
      });
    audit.record(caller, audited[this.#kind].create, `${runCollections[this.#kind]}/${kept.id}`);
    conductor.submit(kept);
    return this.view(kept);
  }

  async *watch(
    { name, afterSequence }: WatchRequest,
    caller: Caller,
    signal: AbortSignal,
  ): AsyncGenerator<{ event: RunEvent }> {
    const { runs, limits } = this.means;
    const run = { kind: this.#kind, id: this.#id(name), tenants: visibleTenants(caller) };
    const events = limits.during(caller.tenant, 'watches', watchRun(runs, run, afterSequence, signal));
    for await (const event of events) yield { event };
  }

  /** Newest first. */
  protected async page(request: PageRequest, caller: Caller): Promise<{ items: T[]; nextPageToken: string }> {
    const { items, nextPageToken } = await this.means.runs.list(this.#kind, request, visibleTenants(caller));
    return { items: items.map((run) => this.view(run)), nextPageToken };
  }

  #id(name: string): string {
    return idOf(runCollections[this.#kind], name);
  }
}
