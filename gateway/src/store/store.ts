import { DatasetStore, ModelStore } from './catalogue.ts';
import { type Database, openPglite, openPostgres } from './database.ts';
import { migrate } from './migrations.ts';
import { RetentionStore } from './retention.ts';
import { RunStore } from './runs.ts';

export interface Store {
  readonly runs: RunStore;
  readonly models: ModelStore;
  readonly datasets: DatasetStore;
  readonly retention: RetentionStore;
  /** Waits until no other gateway works on the database. @throws JsigrError DATABASE_IN_USE */
  own(): Promise<void>;
  /** The next number of a sequence that grows across restarts, from 1. */
  next(sequence: string): Promise<number>;
  close(): Promise<void>;
}

/** Sequence that fencing tokens come from. */
export const FENCING_TOKENS = 'fencing-token';

export interface StoreOptions {
  /** Folder of the embedded PostgreSQL; absent: in memory. */
  readonly directory?: string;
  /** A PostgreSQL server instead of the embedded one, e.g. postgres://user:password@host:5432/database. */
  readonly url?: string;
  /** Clock. */
  readonly now?: () => Date;
}

/** Opens the database and brings its schema up to date. @throws JsigrError SCHEMA_TOO_NEW, DATABASE_UNAVAILABLE */
export async function openStore({ directory, url, now = () => new Date() }: StoreOptions = {}): Promise<Store> {
  return storeOn(url === undefined ? await openPglite(directory) : await openPostgres(url), now);
}

/** The store on a database that is open; if it cannot be used it is closed. */
export async function storeOn(database: Database, now: () => Date): Promise<Store> {
  const { kysely, patient } = database;
  const runs = new RunStore(database, now);
  try {
    await migrate(patient);
    await runs.listen();
  } catch (error) {
    await database.close();
    throw error;
  }
  return {
    runs,
    models: new ModelStore(kysely),
    datasets: new DatasetStore(kysely),
    retention: new RetentionStore(patient),
    async next(sequence) {
      const { value } = await kysely
        .insertInto('sequences')
        .values({ name: sequence, value: 1 })
        .onConflict((conflict) =>
          conflict.column('name').doUpdateSet((row) => ({ value: row('sequences.value', '+', 1) })),
        )
        .returning('value')
        .executeTakeFirstOrThrow();
      return value;
    },
    own: () => database.own(),
    close: () => database.close(),
  };
}
