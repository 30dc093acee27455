import { failedPrecondition } from '@jsigr/service';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Tables } from './schema.ts';

/** Statements that lead from the version before to this one. A migration that was released is never changed. */
interface Migration {
  readonly version: number;
  readonly statements: readonly string[];
}

export const migrations: readonly Migration[] = [
  {
    version: 1,
    statements: [
      `create table runs (
        number bigint generated always as identity primary key,
        id text not null unique,
        kind text not null check (kind in ('training', 'evaluation')),
        display_name text not null,
        spec jsonb not null,
        state text not null,
        reason text not null,
        create_time timestamptz not null,
        start_time timestamptz,
        end_time timestamptz,
        last_sequence bigint not null,
        labels jsonb not null,
        summary jsonb not null
      )`,
      'create index runs_by_kind on runs (kind, number desc)',
      'create index runs_by_label on runs using gin (labels)',
      `create table run_events (
        run text not null references runs (id) on delete cascade,
        sequence bigint not null check (sequence > 0),
        time timestamptz not null,
        payload jsonb not null,
        primary key (run, sequence)
      )`,
      `create table request_ids (
        kind text not null,
        request_id text not null,
        fingerprint text not null,
        run text not null references runs (id) on delete cascade,
        primary key (kind, request_id)
      )`,
      `create table models (
        number bigint generated always as identity primary key,
        digest text not null unique,
        run text not null,
        step bigint not null,
        create_time timestamptz not null,
        info jsonb not null
      )`,
      'create index models_by_run on models (run, number desc)',
      `create table datasets (
        number bigint generated always as identity primary key,
        id text not null unique,
        digest text not null,
        embedded boolean not null,
        create_time timestamptz not null,
        info jsonb not null
      )`,
      'create table sequences (name text primary key, value bigint not null)',
    ],
  },
  {
    version: 2,
    statements: [
      `alter table runs
        add state_sequence bigint not null default 1,
        add fencing_token bigint not null default 0,
        add retries bigint not null default 0,
        add retries_in_place bigint not null default 0,
        add resume_point jsonb`,
      `update runs set state_sequence = coalesce(
        (select max(sequence) from run_events where run = runs.id and jsonb_exists(payload, 'stateChanged')), 1)`,
      'alter table runs alter state_sequence drop default',
    ],
  },
  {
    // Whose a run, a model, a request id is. The same model may belong to several tenants.
    version: 3,
    statements: [
      `alter table runs add column tenant text not null default 'default'`,
      `update runs set tenant = 'shared' where labels @> '{"role": "surrogate"}'`,
      'create index runs_by_tenant on runs (tenant, kind, number desc)',
      `create index runs_active on runs (tenant) where state in ('RUN_STATE_QUEUED', 'RUN_STATE_STARTING', 'RUN_STATE_RUNNING')`,
      `alter table request_ids add column tenant text not null default 'default'`,
      'alter table request_ids drop constraint request_ids_pkey, add primary key (tenant, kind, request_id)',
      `alter table models add column tenant text not null default 'default'`,
      `update models set tenant = 'shared' where run in (select id from runs where tenant = 'shared')`,
      'alter table models drop constraint models_digest_key, add unique (digest, tenant)',
    ],
  },
  {
    version: 4,
    statements: ['alter table runs add worker jsonb, add worker_sequence bigint not null default 0'],
  },
  {
    // The trace that a run belongs to, over all gateways and workers that are at it.
    version: 5,
    statements: ['alter table runs add trace_parent text'],
  },
  {
    // What each of the attackers that share an evaluation has come to, while it goes on.
    version: 6,
    statements: [
      `create table run_parts (
        run text not null references runs (id),
        part bigint not null,
        content jsonb not null,
        primary key (run, part)
      )`,
    ],
  },
  {
    // Reports are most of what a list reads, and nothing in the database looks into them: as text they are copied, where jsonb is written out anew each time.
    version: 7,
    statements: [
      'alter table runs add report json',
      `update runs set summary = summary - '{latestReport,report,transferMatrix}'::text[],
        report = (
          select jsonb_object_agg(key, value) from jsonb_each(summary) where key in ('latestReport', 'report', 'transferMatrix')
        )::json
        where jsonb_exists_any(summary, '{latestReport,report,transferMatrix}')`,
    ],
  },
];

/** Any number, the same in every process: two must not bring one database up to date at once. */
const LOCK = 7460;

/**
 * Brings the schema up to the newest version, one transaction a step. Forward only.
 * @throws JsigrError SCHEMA_TOO_NEW for a database that a newer version of the program wrote.
 */
export async function migrate(database: Kysely<Tables>, steps: readonly Migration[] = migrations): Promise<void> {
  while (await database.transaction().execute((transaction) => migrateOnce(transaction, steps)));
}

/** @returns false when there was nothing to do. */
async function migrateOnce(transaction: Transaction<Tables>, steps: readonly Migration[]): Promise<boolean> {
  const newest = steps.at(-1)?.version ?? 0;
  await sql`select pg_advisory_xact_lock(${LOCK})`.execute(transaction);
  await sql`create table if not exists schema_version (version bigint not null)`.execute(transaction);
  const found = await transaction.selectFrom('schema_version').select('version').executeTakeFirst();
  const current = found?.version ?? 0;
  if (current > newest)
    throw failedPrecondition(
      'SCHEMA_TOO_NEW',
      `the database has schema version ${current}; this program knows versions up to ${newest}`,
      'use the newer program that wrote it, or another database',
    );
  const next = steps.find((step) => step.version > current);
  if (!next) return false;
  for (const statement of next.statements) await sql.raw(statement).execute(transaction);
  await transaction.deleteFrom('schema_version').execute();
  await transaction.insertInto('schema_version').values({ version: next.version }).execute();
  return true;
}
