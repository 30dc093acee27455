import { failedPrecondition } from '@jsigr/service';
import { type Kysely, sql } from 'kysely';
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
];

/**
 * Brings the schema up to the newest version, one transaction a step. Forward only.
 * @throws JsigrError SCHEMA_TOO_NEW for a database that a newer version of the program wrote.
 */
export async function migrate(database: Kysely<Tables>, steps: readonly Migration[] = migrations): Promise<void> {
  const newest = steps.at(-1)?.version ?? 0;
  await sql`create table if not exists schema_version (version bigint not null)`.execute(database);
  const found = await database.selectFrom('schema_version').select('version').executeTakeFirst();
  const current = found?.version ?? 0;
  if (current > newest)
    throw failedPrecondition(
      'SCHEMA_TOO_NEW',
      `the database has schema version ${current}; this program knows versions up to ${newest}`,
      'use the newer program that wrote it, or another data directory',
    );
  for (const { version, statements } of steps.filter((step) => step.version > current)) {
    await database.transaction().execute(async (transaction) => {
      for (const statement of statements) await sql.raw(statement).execute(transaction);
      await transaction.deleteFrom('schema_version').execute();
      await transaction.insertInto('schema_version').values({ version }).execute();
    });
  }
}
