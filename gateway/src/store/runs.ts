import { randomBytes } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { RunEvent, RunState } from '@jsigr/proto';
import { Condition, failedPrecondition, JsigrError, notFound } from '@jsigr/service';
import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import { jsonText } from './json.ts';
import { type Page, type PageRequest, pageOf, pageStart } from './paging.ts';
import type { RunKind, Tables } from './schema.ts';
import { activeStates, isFinal, mayFollow, stateName } from './state-machine.ts';

export type EventPayload = NonNullable<RunEvent['payload']>;
/** Parsed JSON of an object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** A run as it is stored, whatever its kind. */
export interface StoredRun {
  readonly id: string;
  readonly kind: RunKind;
  readonly displayName: string;
  /** TrainingSpec or EvaluationSpec in protobuf's JSON. */
  readonly spec: unknown;
  readonly state: RunState;
  readonly reason: string;
  readonly createTime: Date;
  readonly startTime: Date | undefined;
  readonly endTime: Date | undefined;
  readonly lastSequence: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly summary: JsonObject;
}

export interface NewRun {
  readonly kind: RunKind;
  readonly spec: unknown;
  readonly displayName?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Creation is idempotent under this id. */
  readonly request?: { readonly id: string; readonly fingerprint: string };
}

const EVENTS_AT_ONCE = 500;

/** Runs and their events. Every change is one transaction; the events of a run are numbered from 1 without gaps. */
export class RunStore {
  readonly #database: Kysely<Tables>;
  readonly #now: () => Date;
  /** Newest sequence number of every run that changed while this process was up. */
  readonly #heads = new Map<string, number>();
  readonly #changed = new Condition();

  constructor(database: Kysely<Tables>, now: () => Date) {
    this.#database = database;
    this.#now = now;
  }

  /**
   * A new run, QUEUED, with its first event; or the one that the same request made before.
   * @throws JsigrError ALREADY_EXISTS when another request came under this request id.
   */
  async create({ kind, spec, displayName = '', labels = {}, request }: NewRun): Promise<StoredRun> {
    const run = await this.#database.transaction().execute(async (transaction) => {
      const earlier = request && (await findRequest(transaction, kind, request));
      if (earlier) return earlier;
      const row = await transaction
        .insertInto('runs')
        .values({
          id: newId(),
          kind,
          display_name: displayName,
          spec: jsonText(spec),
          state: RunState.RUN_STATE_QUEUED,
          reason: '',
          create_time: this.#now(),
          last_sequence: 0,
          labels: jsonText(labels),
          summary: '{}',
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      if (request)
        await transaction
          .insertInto('request_ids')
          .values({ kind, request_id: request.id, fingerprint: request.fingerprint, run: row.id })
          .execute();
      await this.#insertEvent(transaction, row.id, 1, stateChanged(RunState.RUN_STATE_QUEUED, ''));
      return updateRun(transaction, row.id, { last_sequence: 1 });
    });
    this.#notify(run);
    return run;
  }

  /** @throws JsigrError NOT_FOUND */
  async get(kind: RunKind, id: string): Promise<StoredRun> {
    const row = await this.#database
      .selectFrom('runs')
      .selectAll()
      .where('kind', '=', kind)
      .where('id', '=', id)
      .executeTakeFirst();
    if (row) return storedRun(row);
    throw kind === 'training'
      ? notFound('training run', `trainingRuns/${id}`)
      : notFound('evaluation', `evaluations/${id}`);
  }

  /** Newest first. */
  async list(kind: RunKind, request: PageRequest): Promise<Page<StoredRun>> {
    const { limit, below } = pageStart(kind, request);
    const rows = await this.#database
      .selectFrom('runs')
      .selectAll()
      .where('kind', '=', kind)
      .$if(below !== undefined, (query) => query.where('number', '<', below ?? 0))
      .orderBy('number', 'desc')
      .limit(limit + 1)
      .execute();
    return pageOf(kind, rows, limit, storedRun);
  }

  /** Runs that are not finished, oldest first. */
  async active(): Promise<StoredRun[]> {
    const rows = await this.#database
      .selectFrom('runs')
      .selectAll()
      .where('state', 'in', activeStates)
      .orderBy('number')
      .execute();
    return rows.map(storedRun);
  }

  /** Runs that carry all these labels, newest first. */
  async labelled(kind: RunKind, labels: Readonly<Record<string, string>>): Promise<StoredRun[]> {
    const rows = await this.#database
      .selectFrom('runs')
      .selectAll()
      .where('kind', '=', kind)
      .where(sql<boolean>`labels @> ${jsonText(labels)}::jsonb`)
      .orderBy('number', 'desc')
      .limit(100)
      .execute();
    return rows.map(storedRun);
  }

  /** @throws JsigrError FAILED_PRECONDITION ILLEGAL_TRANSITION; NOT_FOUND. */
  async transition(id: string, to: RunState, reason = ''): Promise<StoredRun> {
    return this.#change(id, async (transaction, run) => {
      if (!mayFollow(run.state, to))
        throw failedPrecondition(
          'ILLEGAL_TRANSITION',
          `the run ${id} is ${stateName(run.state)} and cannot become ${stateName(to)}`,
        );
      const sequence = run.lastSequence + 1;
      const time = await this.#insertEvent(transaction, id, sequence, stateChanged(to, reason));
      return updateRun(transaction, id, {
        state: to,
        reason,
        last_sequence: sequence,
        ...(to === RunState.RUN_STATE_RUNNING ? { start_time: time } : {}),
        ...(isFinal(to) ? { end_time: time } : {}),
      });
    });
  }

  /**
   * Adds an event, and what follows from it to the summary (keys that are given replace those that are there).
   * @throws JsigrError FAILED_PRECONDITION RUN_FINISHED: nothing follows a final state.
   */
  async append(id: string, payload: EventPayload, summary: JsonObject = {}): Promise<StoredRun> {
    return this.#change(id, async (transaction, run) => {
      if (isFinal(run.state))
        throw failedPrecondition('RUN_FINISHED', `the run ${id} is ${stateName(run.state)}: nothing follows`);
      const sequence = run.lastSequence + 1;
      await this.#insertEvent(transaction, id, sequence, payload);
      return updateRun(transaction, id, {
        last_sequence: sequence,
        summary: jsonText({ ...run.summary, ...summary }),
      });
    });
  }

  /** Events after a sequence number, in order, at most 500. */
  async events(id: string, afterSequence: number): Promise<RunEvent[]> {
    const rows = await this.#database
      .selectFrom('run_events')
      .select('payload')
      .where('run', '=', id)
      .where('sequence', '>', afterSequence)
      .orderBy('sequence')
      .limit(EVENTS_AT_ONCE)
      .execute();
    return rows.map(({ payload }) => RunEvent.fromJSON(payload));
  }

  /** Waits until the run has an event after this one. @throws the signal's reason once it is aborted. */
  async changedAfter(id: string, sequence: number, signal?: AbortSignal): Promise<void> {
    await this.#changed.until(() => (this.#heads.get(id) ?? 0) > sequence, signal ? { signal } : {});
  }

  async #change(
    id: string,
    change: (transaction: Transaction<Tables>, run: StoredRun) => Promise<StoredRun>,
  ): Promise<StoredRun> {
    const run = await this.#database.transaction().execute(async (transaction) => {
      // Locked: on a PostgreSQL server two writers must not take the same sequence number.
      const row = await transaction.selectFrom('runs').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
      if (!row) throw notFound('run', id);
      return change(transaction, storedRun(row));
    });
    this.#notify(run);
    return run;
  }

  async #insertEvent(transaction: Transaction<Tables>, run: string, sequence: number, payload: EventPayload) {
    const time = this.#now();
    const event = RunEvent.toJSON({ sequence, time, payload });
    await transaction
      .insertInto('run_events')
      .values({ run, sequence, time, payload: jsonText(event) })
      .execute();
    return time;
  }

  #notify(run: StoredRun): void {
    this.#heads.set(run.id, run.lastSequence);
    this.#changed.notify();
  }
}

async function findRequest(
  transaction: Transaction<Tables>,
  kind: RunKind,
  { id, fingerprint }: { id: string; fingerprint: string },
): Promise<StoredRun | undefined> {
  const row = await transaction
    .selectFrom('request_ids')
    .innerJoin('runs', 'runs.id', 'request_ids.run')
    .selectAll('runs')
    .select('request_ids.fingerprint')
    .where('request_ids.kind', '=', kind)
    .where('request_ids.request_id', '=', id)
    .executeTakeFirst();
  if (!row || row.fingerprint === fingerprint) return row && storedRun(row);
  const collection = kind === 'training' ? 'trainingRuns' : 'evaluations';
  throw new JsigrError({
    code: status.ALREADY_EXISTS,
    reason: 'REQUEST_ID_REUSED',
    message: `the request id ${JSON.stringify(id)} belongs to ${collection}/${row.id}, which was another request`,
    hint: 'a new request needs a new request id',
  });
}

type RunChange = Partial<{
  state: RunState;
  reason: string;
  last_sequence: number;
  start_time: Date;
  end_time: Date;
  summary: string;
}>;

async function updateRun(transaction: Transaction<Tables>, id: string, change: RunChange): Promise<StoredRun> {
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

function storedRun(row: Selectable<Tables['runs']>): StoredRun {
  return {
    id: row.id,
    kind: row.kind,
    displayName: row.display_name,
    spec: row.spec,
    state: row.state,
    reason: row.reason,
    createTime: row.create_time,
    startTime: row.start_time ?? undefined,
    endTime: row.end_time ?? undefined,
    lastSequence: row.last_sequence,
    labels: row.labels as Record<string, string>,
    summary: row.summary as JsonObject,
  };
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

/** 12 letters and digits, 60 random bits. */
export function newId(): string {
  return Array.from(randomBytes(12), (byte) => ALPHABET[byte & 31]).join('');
}
