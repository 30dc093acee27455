import { RunState } from '@jsigr/proto';
import { type Kysely, sql } from 'kysely';
import type { Tables } from './schema.ts';
import { activeStates, isFinal, runStates } from './state-machine.ts';

/** Kinds of events that say how it stood at a moment: of a finished run nobody needs them for long. */
const PROGRESS = ['trainingProgress', 'evaluationProgress'];
const FINAL: readonly RunState[] = runStates.filter(isFinal);

/** What the database says about what is still needed. */
export class RetentionStore {
  readonly #database: Kysely<Tables>;

  constructor(database: Kysely<Tables>) {
    this.#database = database;
  }

  /** Digests of artefacts that something refers to. */
  async referenced(kind: keyof typeof queries): Promise<ReadonlySet<string>> {
    const { rows } = await sql<{ digest: string | null }>`${queries[kind]}`.execute(this.#database);
    return new Set(rows.map(({ digest }) => digest ?? ''));
  }

  /** Progress events of runs that finished before. @returns how many there are, or were. */
  async thinProgress(finishedBefore: Date, dryRun: boolean): Promise<number> {
    return this.#remove(
      sql`run_events where jsonb_exists_any(payload, ${sql.val(PROGRESS)}::text[])
        and run in (select id from runs where end_time < ${finishedBefore} and state = any(${sql.val(FINAL)}::text[]))`,
      dryRun,
    );
  }

  async #remove(what: ReturnType<typeof sql>, dryRun: boolean): Promise<number> {
    if (!dryRun) return Number((await sql`delete from ${what}`.execute(this.#database)).numAffectedRows ?? 0n);
    const { rows } = await sql<{ count: number }>`select count(*) as count from ${what}`.execute(this.#database);
    return Number(rows[0]?.count ?? 0);
  }
}

const queries = {
  states: sql`select resume_point ->> 'digest' as digest from runs
    where resume_point ->> 'kind' = 'states' and state = any(${sql.val(activeStates)}::text[])
    union select content #>> '{resumePoint,digest}' from run_parts`,
  ledgers: sql`select coalesce(payload #>> '{robustnessReported,ledger}', payload #>> '{transferMatrixReported,ledger}') as digest
    from run_events where jsonb_exists_any(payload, array['robustnessReported', 'transferMatrixReported'])
    union select spec #>> '{plan,resumeLedger}' from runs where state = any(${sql.val(activeStates)}::text[])
    union select content #>> '{report,ledger}' from run_parts`,
  // Only training that goes on has a use for them.
  examples: sql`select payload #>> '{robustnessReported,trainingExamples}' as digest from run_events
    join runs on runs.id = run_events.run
    where jsonb_exists(payload, 'robustnessReported') and state = any(${sql.val(activeStates)}::text[])`,
  datasets: sql`select digest from datasets`,
};
