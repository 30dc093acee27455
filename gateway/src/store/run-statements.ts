/**
 * What runs are changed by most often, each as one statement: a transaction of several costs a round trip for each of them. They do the usual case or
 * nothing; what else may be the matter is found out by the transactions of `RunStore`.
 */
import { type Insertable, type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import type { RequestId } from './request-ids.ts';
import type { Tables } from './schema.ts';
import { activeStates } from './state-machine.ts';

type Row = Selectable<Tables['runs']>;

/** A row of `runs` as it is inserted. */
export type NewRow = Insertable<Tables['runs']> & { readonly tenant: string };

/** Tells the others, as a column of what is selected from the changed run. */
export type Tell = (run: RawBuilder<string>, sequence: RawBuilder<number>) => RawBuilder<unknown>;

/**
 * Inserts a run, its request id and its first event.
 * @returns undefined, and nothing is inserted, where the request id was used before
 */
export async function insertRun(
  database: Kysely<Tables>,
  row: NewRow,
  { request, event, tell }: { readonly request: RequestId | undefined; readonly event: string; readonly tell: Tell },
): Promise<Row | undefined> {
  const columns = sql.join(Object.keys(row).map((name) => sql.ref(name)));
  const values = sql.join(Object.entries(row).map(([name, value]) => sql`${value}::${sql.raw(typeOf(name, value))}`));
  const asked = request
    ? sql`insert into request_ids (tenant, kind, request_id, fingerprint, run)
        values (${row.tenant}, ${row.kind}, ${request.id}, ${request.fingerprint}, ${row.id})
        on conflict (tenant, kind, request_id) do nothing returning run`
    : sql`select 1`;
  const { rows } = await sql<Row>`
    with asked as (${asked}),
    made as (insert into runs (${columns}) select ${values} from asked returning *),
    told as (
      insert into run_events (run, sequence, time, payload)
      select id, 1, ${row.create_time}::timestamptz, ${event}::jsonb from made
    )
    select made.*, ${tell(sql`made.id`, sql`1`)} from made`.execute(database);
  return rows[0];
}

function typeOf(name: string, value: unknown): string {
  if (value instanceof Date) return 'timestamptz';
  if (typeof value === 'number') return 'bigint';
  return ['spec', 'labels', 'summary'].includes(name) ? 'jsonb' : 'text';
}

export interface Appended {
  /** A RunEvent in protobuf's JSON; the statement numbers it. */
  readonly event: string;
  readonly time: Date;
  readonly fencingToken: number | undefined;
  /** Keys that replace those that are there, as JSON. */
  readonly summary: string;
  /** In place of the report that is there; undefined: that one stays. */
  readonly report: string | undefined;
  readonly workerSequence: number | undefined;
  readonly tell: Tell;
}

/** Adds an event to a run that is not finished. @returns undefined, and nothing is changed, where the run is not there, finished, or another worker's */
export async function appendEvent(
  database: Kysely<Tables>,
  id: string,
  { event, time, fencingToken, summary, report, workerSequence, tell }: Appended,
): Promise<Row | undefined> {
  const token = fencingToken ?? Number.MAX_SAFE_INTEGER;
  const { rows } = await sql<Row>`
    with changed as (
      update runs set last_sequence = last_sequence + 1, summary = summary || ${summary}::jsonb,
        report = coalesce(${report ?? null}::json, report),
        worker_sequence = coalesce(${workerSequence ?? null}::bigint, worker_sequence)
      where id = ${id} and state in (${sql.join(activeStates)}) and fencing_token <= ${token}::bigint
      returning *
    ),
    told as (
      insert into run_events (run, sequence, time, payload)
      select id, last_sequence, ${time}::timestamptz, ${event}::jsonb || jsonb_build_object('sequence', last_sequence)
      from changed
    )
    select changed.*, ${tell(sql`changed.id`, sql`changed.last_sequence`)} from changed`.execute(database);
  return rows[0];
}
