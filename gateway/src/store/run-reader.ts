import { RunEvent, RunState } from '@jsigr/proto';
import { sql } from 'kysely';
import type { Database } from './database.ts';
import { jsonText } from './json.ts';
import { type Page, type PageRequest, pageOf, pageStart } from './paging.ts';
import { type RunPart, runNotFound, type StoredRun, storedRun } from './run-rows.ts';
import type { RunKind } from './schema.ts';
import { activeStates } from './state-machine.ts';

export type EventPayload = NonNullable<RunEvent['payload']>;

const EVENTS_AT_ONCE = 500;

/** What there is to read about runs and their events; `RunStore` changes them. */
export class RunReader {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** @param tenants whose runs there are, for the one who asks; all unless told. @throws JsigrError NOT_FOUND */
  async get(kind: RunKind, id: string, tenants?: readonly string[]): Promise<StoredRun> {
    const row = await this.#kysely
      .selectFrom('runs')
      .selectAll()
      .where('kind', '=', kind)
      .where('id', '=', id)
      .$if(tenants !== undefined, (query) => query.where('tenant', 'in', tenants ?? []))
      .executeTakeFirst();
    if (row) return storedRun(row);
    throw runNotFound({ kind, id });
  }

  /** Newest first; of these tenants, or of all. */
  async list(kind: RunKind, request: PageRequest, tenants?: readonly string[]): Promise<Page<StoredRun>> {
    const { limit, below } = pageStart(kind, request);
    const rows = await this.#kysely
      .selectFrom('runs')
      .selectAll()
      .where('kind', '=', kind)
      .$if(tenants !== undefined, (query) => query.where('tenant', 'in', tenants ?? []))
      .$if(below !== undefined, (query) => query.where('number', '<', below ?? 0))
      .orderBy('number', 'desc')
      .limit(limit + 1)
      .execute();
    return pageOf(kind, rows, limit, storedRun);
  }

  /** Runs that are not finished, oldest first. */
  async active(): Promise<StoredRun[]> {
    const rows = await this.#kysely
      .selectFrom('runs')
      .selectAll()
      .where('state', 'in', activeStates)
      .orderBy('number')
      .execute();
    return rows.map(storedRun);
  }

  /** How many runs of a tenant are not finished; counting ends at `most`. */
  async countActive(tenant: string, most: number): Promise<number> {
    const { rows } = await sql<{ count: number }>`
      select count(*) as count from (
        select 1 from runs where tenant = ${tenant} and state in (${sql.join(activeStates)}) limit ${most}
      ) as active`.execute(this.#kysely);
    return Number(rows[0]?.count ?? 0);
  }

  /** How many runs that are not finished there are, by kind and state. */
  async census(): Promise<{ kind: RunKind; state: RunState; count: number }[]> {
    const rows = await this.#kysely
      .selectFrom('runs')
      .select(({ fn }) => ['kind', 'state', fn.countAll<number>().as('count')])
      .where('state', 'in', activeStates)
      .groupBy(['kind', 'state'])
      .execute();
    return rows.map(({ kind, state, count }) => ({ kind, state, count: Number(count) }));
  }

  /** Runs that are being trained at the moment. */
  async training(): Promise<StoredRun[]> {
    const rows = await this.#kysely
      .selectFrom('runs')
      .selectAll()
      .where('kind', '=', 'training')
      .where('state', '=', RunState.RUN_STATE_RUNNING)
      .execute();
    return rows.map(storedRun);
  }

  /** Of every run that workers are at, when it was last heard of. */
  async lastHeard(): Promise<{ kind: RunKind; id: string; time: Date }[]> {
    return this.#kysely
      .selectFrom('runs')
      .innerJoin('run_events', (join) =>
        join.onRef('run_events.run', '=', 'runs.id').onRef('run_events.sequence', '=', 'runs.last_sequence'),
      )
      .select(['runs.kind', 'runs.id', 'run_events.time'])
      .where('runs.state', '=', RunState.RUN_STATE_RUNNING)
      .execute();
  }

  /** Runs that carry all these labels, newest first. */
  async labelled(kind: RunKind, labels: Readonly<Record<string, string>>): Promise<StoredRun[]> {
    const rows = await this.#kysely
      .selectFrom('runs')
      .selectAll()
      .where('kind', '=', kind)
      .where(sql<boolean>`labels @> ${jsonText(labels)}::jsonb`)
      .orderBy('number', 'desc')
      .limit(100)
      .execute();
    return rows.map(storedRun);
  }

  /** Events after a sequence number, in order, at most 500; of some kinds only where they are named. */
  async events(id: string, afterSequence: number, kinds?: readonly EventPayload['$case'][]): Promise<RunEvent[]> {
    const rows = await this.#kysely
      .selectFrom('run_events')
      .select('payload')
      .where('run', '=', id)
      .where('sequence', '>', afterSequence)
      .$if(kinds !== undefined, (query) =>
        query.where(sql<boolean>`jsonb_exists_any(payload, ${sql.val(kinds)}::text[])`),
      )
      .orderBy('sequence')
      .limit(EVENTS_AT_ONCE)
      .execute();
    return rows.map(({ payload }) => RunEvent.fromJSON(payload));
  }

  /** What the workers that share a run have come to, by their index; empty once the run has ended. */
  async parts(id: string): Promise<Map<number, RunPart>> {
    const rows = await this.#kysely.selectFrom('run_parts').selectAll().where('run', '=', id).execute();
    return new Map(rows.map(({ part, content }) => [Number(part), content as RunPart]));
  }

  get #kysely() {
    return this.#database.kysely;
  }
}
