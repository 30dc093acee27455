import { isDeepStrictEqual } from 'node:util';
import { status } from '@grpc/grpc-js';
import { RunEvent, RunState } from '@jsigr/proto';
import { failedPrecondition, JsigrError, notFound } from '@jsigr/service';
import type { Transaction, Updateable } from 'kysely';
import { type Database, persistently } from './database.ts';
import { jsonText, storableText } from './json.ts';
import { findRequest, keepRequest, type RequestId } from './request-ids.ts';
import { messageOf, RunChanges, readMessage } from './run-changes.ts';
import { RunFeeds } from './run-feed.ts';
import { type EventPayload, RunReader } from './run-reader.ts';
import {
  columnsOf,
  type JsonObject,
  newId,
  type ResumePoint,
  type RunPart,
  type RunWorker,
  type StoredRun,
  storedRun,
} from './run-rows.ts';
import { appendEvent, insertRun, type NewRow } from './run-statements.ts';
import { DEFAULT_TENANT, type RunKind, type Tables } from './schema.ts';
import { isFinal, mayFollow, stateName } from './state-machine.ts';

export type { EventPayload } from './run-reader.ts';
export type { JsonObject, ResumePoint, RunPart, StoredRun } from './run-rows.ts';

export interface NewRun {
  /** Whose it is; `default` unless told. */
  readonly tenant?: string;
  readonly kind: RunKind;
  readonly spec: unknown;
  readonly displayName?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Creation is idempotent under this id, for each tenant by itself. */
  readonly request?: RequestId;
  /** Of the call that creates it, if that is traced. */
  readonly traceParent?: string | undefined;
}

/** What a change rests on, and what comes with it. */
export interface ChangeOptions {
  /** Of the worker that the change comes from: refused when the run was given to another one since. */
  readonly fencingToken?: number;
  /** Of the run that the caller has seen: refused when its state is another one by now. */
  readonly etag?: string;
  /** Keys that are given replace those that are there. */
  readonly summary?: JsonObject;
  readonly resumePoint?: ResumePoint;
  /** The worker's own number of the event that the change comes from. */
  readonly workerSequence?: number;
  /** The run is begun again. */
  readonly retry?: boolean;
}

/** Runs and their events. Every change is one transaction; the events of a run are numbered from 1 without gaps. */
export class RunStore extends RunReader {
  readonly #database: Database;
  readonly #now: () => Date;
  readonly #changes = new RunChanges();
  readonly #feeds = new RunFeeds(this.#changes, (id, afterSequence) => this.events(id, afterSequence));

  constructor(database: Database, now: () => Date) {
    super(database);
    this.#database = database;
    this.#now = now;
  }

  /** Hears of the changes that other processes make. */
  async listen(): Promise<void> {
    await this.#database.hear(
      (message) => this.#changes.note(...readMessage(message)),
      () => this.#changes.noteGap(),
    );
  }

  /**
   * A new run, QUEUED, with its first event; or the one that the same request made before.
   * @throws JsigrError ALREADY_EXISTS when another request came under this request id.
   */
  async create(run: NewRun): Promise<StoredRun> {
    const { tenant = DEFAULT_TENANT, kind, spec, displayName = '', labels = {}, request, traceParent } = run;
    const now = this.#now();
    const row = {
      id: newId(),
      tenant,
      kind,
      display_name: displayName,
      spec: jsonText(spec),
      state: RunState.RUN_STATE_QUEUED,
      reason: '',
      create_time: now,
      last_sequence: 1,
      state_sequence: 1,
      labels: jsonText(labels),
      summary: '{}',
      trace_parent: traceParent ?? null,
    };
    const payload = stateChanged(RunState.RUN_STATE_QUEUED, '');
    const event = jsonText(RunEvent.toJSON({ sequence: 1, time: now, payload }));
    const inserted = await insertRun(this.#kysely, row, { request, event, tell: this.#database.telling });
    const created = inserted ? storedRun(inserted) : await this.#createAgain(row, request, payload);
    this.#changes.note(created.id, created.lastSequence);
    return created;
  }

  /** The run that the same request made before. @throws JsigrError ALREADY_EXISTS when another request came under this request id. */
  async requested(scope: Pick<StoredRun, 'tenant' | 'kind'>, request: RequestId): Promise<StoredRun | undefined> {
    return this.#kysely.transaction().execute((transaction) => findRequest(transaction, scope, request));
  }

  /** The request id was used before: for the same request, or for another one. */
  async #createAgain(row: NewRow, request: RequestId | undefined, payload: EventPayload): Promise<StoredRun> {
    const scope = { tenant: row.tenant, kind: row.kind };
    return this.#kysely.transaction().execute(async (transaction) => {
      const earlier = request && (await findRequest(transaction, scope, request));
      if (earlier) return earlier;
      const made = await transaction.insertInto('runs').values(row).returningAll().executeTakeFirstOrThrow();
      if (request) await keepRequest(transaction, scope, request, row.id);
      await this.#insertEvent(transaction, row.id, 1, row.create_time, payload);
      return storedRun(made);
    });
  }

  /**
   * The run is this worker's now, and whoever spoke of it until now does so no more.
   * @param token a new one, which what is said from now on carries: not the worker's own, who may have been there before the last one that had the run
   * @throws JsigrError FAILED_PRECONDITION FENCED when it was claimed with a newer one; RUN_FINISHED.
   */
  async claim(id: string, worker: RunWorker, token: number): Promise<StoredRun> {
    return this.#change(id, { fencingToken: token }, async (transaction, run) => {
      refuseFinished(run);
      return updateRun(transaction, id, { fencing_token: token, worker: jsonText(worker), worker_sequence: 0 });
    });
  }

  /**
   * The run's worker stays, and whoever spoke in its name until now does so no more.
   * @param token a new one; what is said from now on carries the one that is returned
   */
  async takeOver(id: string, token: number): Promise<number> {
    const { fencingToken } = await this.#change(id, {}, async (transaction, run) => {
      refuseFinished(run);
      return updateRun(transaction, id, { fencing_token: Math.max(token, run.fencingToken + 1) });
    });
    return fencingToken;
  }

  /** @throws JsigrError FAILED_PRECONDITION ILLEGAL_TRANSITION or FENCED; ABORTED ETAG_MISMATCH; NOT_FOUND. */
  async transition(id: string, to: RunState, reason = '', options: ChangeOptions = {}): Promise<StoredRun> {
    const time = this.#now();
    const payload = stateChanged(to, reason);
    return this.#change(id, options, async (transaction, run, again) => {
      if (again && (await this.#isWritten(transaction, run, time, payload))) return run;
      if (!mayFollow(run.state, to))
        throw failedPrecondition(
          'ILLEGAL_TRANSITION',
          `the run ${id} is ${stateName(run.state)} and cannot become ${stateName(to)}`,
        );
      const sequence = await this.#addEvent(transaction, run, time, payload);
      if (isFinal(to)) await transaction.deleteFrom('run_parts').where('run', '=', id).execute();
      return updateRun(transaction, id, {
        state: to,
        reason: storableText(reason),
        last_sequence: sequence,
        state_sequence: sequence,
        ...(to === RunState.RUN_STATE_RUNNING && !run.startTime ? { start_time: time } : {}),
        ...(isFinal(to) ? { end_time: time } : {}),
        ...(options.retry ? { retries: run.retries + 1, retries_in_place: run.retriesInPlace + 1 } : {}),
      });
    });
  }

  /** Adds an event. @throws JsigrError FAILED_PRECONDITION FENCED; RUN_FINISHED: nothing follows a final state. */
  async append(id: string, payload: EventPayload, options: ChangeOptions = {}): Promise<StoredRun> {
    const time = this.#now();
    return this.#change(
      id,
      options,
      async (transaction, run, again) => {
        if (again && (await this.#isWritten(transaction, run, time, payload))) return run;
        refuseFinished(run);
        const sequence = await this.#addEvent(transaction, run, time, payload);
        return updateRun(transaction, id, { last_sequence: sequence, ...besides(run, options) });
      },
      () => this.#appendAtOnce(id, time, payload, options),
    );
  }

  async #appendAtOnce(id: string, time: Date, payload: EventPayload, options: ChangeOptions) {
    const { fencingToken, summary = {}, workerSequence, etag, resumePoint } = options;
    if (etag || resumePoint) return undefined;
    const event = jsonText(RunEvent.toJSON({ sequence: 0, time, payload }));
    const change = { event, time, fencingToken, ...columnsOf(summary), workerSequence };
    const row = await appendEvent(this.#kysely, id, { ...change, tell: this.#database.telling });
    return row && storedRun(row);
  }

  /** Keeps from where the run can go on, which is no news to anybody else. @throws as `append` */
  async keepResumePoint(id: string, resumePoint: ResumePoint, options: ChangeOptions = {}): Promise<StoredRun> {
    return this.#change(id, options, async (transaction, run) => {
      refuseFinished(run);
      return updateRun(transaction, id, besides(run, { resumePoint }));
    });
  }

  /** Keeps what one of the workers that share the run has come to, in place of what there was. @throws as `append` */
  async keepPart(id: string, part: number, content: RunPart, options: ChangeOptions = {}): Promise<StoredRun> {
    return this.#change(id, options, async (transaction, run) => {
      refuseFinished(run);
      const value = jsonText(content);
      await transaction
        .insertInto('run_parts')
        .values({ run: id, part, content: value })
        .onConflict((conflict) => conflict.columns(['run', 'part']).doUpdateSet({ content: value }))
        .execute();
      return updateRun(transaction, id, { retries_in_place: 0 });
    });
  }

  /** Waits until the run has an event after this one, or may have one. @throws the signal's reason once it is aborted. */
  async changedAfter(id: string, sequence: number, signal?: AbortSignal): Promise<void> {
    await this.#changes.after(id, sequence, { signal });
  }

  /**
   * Events after this one as they come, shared with all who follow the run: see `RunFeeds.follow`. Whoever falls far behind is let go, and reads
   * `events` again.
   */
  follow(id: string, sequence: number, signal: AbortSignal): AsyncGenerator<RunEvent> {
    return this.#feeds.follow(id, sequence, signal);
  }

  get #kysely() {
    return this.#database.kysely;
  }

  /** @param atOnce tried first: the change as one statement, which does it or nothing */
  async #change(
    id: string,
    { fencingToken, etag }: ChangeOptions,
    change: (transaction: Transaction<Tables>, run: StoredRun, again: boolean) => Promise<StoredRun>,
    atOnce: () => Promise<StoredRun | undefined> = async () => undefined,
  ): Promise<StoredRun> {
    const run = await persistently(async (again) => {
      const changed = again ? undefined : await atOnce();
      if (changed) return changed;
      return this.#kysely.transaction().execute(async (transaction) => {
        // Locked: on a PostgreSQL server two writers must not take the same sequence number.
        const row = await transaction
          .selectFrom('runs')
          .selectAll()
          .where('id', '=', id)
          .forUpdate()
          .executeTakeFirst();
        if (!row) throw notFound('run', id);
        const found = storedRun(row);
        if (fencingToken !== undefined) refuseFenced(found, fencingToken);
        if (etag && etag !== found.etag && !again) throw etagMismatch(found);
        return change(transaction, found, again);
      });
    });
    this.#changes.note(run.id, run.lastSequence);
    return run;
  }

  async #addEvent(
    transaction: Transaction<Tables>,
    run: StoredRun,
    time: Date,
    payload: EventPayload,
  ): Promise<number> {
    const sequence = run.lastSequence + 1;
    await this.#insertEvent(transaction, run.id, sequence, time, payload);
    return sequence;
  }

  async #insertEvent(
    transaction: Transaction<Tables>,
    run: string,
    sequence: number,
    time: Date,
    payload: EventPayload,
  ): Promise<void> {
    await transaction
      .insertInto('run_events')
      .values({ run, sequence, time, payload: jsonText(RunEvent.toJSON({ sequence, time, payload })) })
      .execute();
    await this.#database.tell(transaction, messageOf(run, sequence));
  }

  /** Was the event written, and only the answer lost? Others may have written since. */
  async #isWritten(
    transaction: Transaction<Tables>,
    { id }: StoredRun,
    time: Date,
    payload: EventPayload,
  ): Promise<boolean> {
    const rows = await transaction
      .selectFrom('run_events')
      .select(['sequence', 'payload'])
      .where('run', '=', id)
      .where('time', '=', time)
      .execute();
    return rows.some(({ sequence, payload: written }) =>
      isDeepStrictEqual(written, JSON.parse(jsonText(RunEvent.toJSON({ sequence, time, payload })))),
    );
  }
}

function besides(run: StoredRun, { summary, resumePoint, workerSequence }: ChangeOptions): Updateable<Tables['runs']> {
  return {
    ...(workerSequence === undefined ? {} : { worker_sequence: workerSequence }),
    ...(summary ? columnsOf({ ...run.summary, ...summary }) : {}),
    // It came further: whatever happened before is no sign of what is to come.
    ...(resumePoint ? { resume_point: jsonText(resumePoint), retries_in_place: 0 } : {}),
  };
}

function refuseFinished({ id, state }: StoredRun): void {
  if (isFinal(state)) throw failedPrecondition('RUN_FINISHED', `the run ${id} is ${stateName(state)}: nothing follows`);
}

function refuseFenced(run: StoredRun, fencingToken: number): void {
  if (fencingToken < run.fencingToken)
    throw failedPrecondition(
      'FENCED',
      `the run ${run.id} was taken over (token ${run.fencingToken}); what is said with token ${fencingToken} does not count any more`,
      'the worker stops',
    );
}

function etagMismatch({ id, state, etag }: StoredRun): JsigrError {
  return new JsigrError({
    code: status.ABORTED,
    reason: 'ETAG_MISMATCH',
    message: `the run ${id} changed meanwhile: it is ${stateName(state)}, its etag ${etag}`,
    hint: 'read the run again, and decide again',
  });
}

async function updateRun(
  transaction: Transaction<Tables>,
  id: string,
  change: Updateable<Tables['runs']>,
): Promise<StoredRun> {
  const row = await transaction
    .updateTable('runs')
    .set(change)
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
  return storedRun(row);
}

function stateChanged(state: RunState, reason: string): EventPayload {
  return { $case: 'stateChanged', value: { state, reason } };
}
