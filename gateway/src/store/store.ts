import { PGlite } from '@electric-sql/pglite';
import { Kysely, PGliteDialect } from 'kysely';
import { DatasetStore, ModelStore } from './catalogue.ts';
import { migrate } from './migrations.ts';
import { RunStore } from './runs.ts';
import type { Tables } from './schema.ts';

export interface Store {
  readonly runs: RunStore;
  readonly models: ModelStore;
  readonly datasets: DatasetStore;
  /** The next number of a sequence that grows across restarts, from 1. */
  next(sequence: string): Promise<number>;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** Folder of the embedded PostgreSQL; absent: in memory. */
  readonly directory?: string;
  /** Clock. */
  readonly now?: () => Date;
}

/** Opens the embedded PostgreSQL and brings its schema up to date. @throws JsigrError SCHEMA_TOO_NEW */
export async function openStore({ directory, now = () => new Date() }: StoreOptions = {}): Promise<Store> {
  const pglite = await PGlite.create(directory ?? 'memory://');
  try {
    return await storeOn(pglite, now);
  } catch (error) {
    await pglite.close();
    throw error;
  }
}

/** The store on a database that is open. */
export async function storeOn(pglite: PGlite, now: () => Date): Promise<Store> {
  const database = new Kysely<Tables>({ dialect: new PGliteDialect({ pglite }) });
  await migrate(database);
  return {
    runs: new RunStore(database, now),
    models: new ModelStore(database),
    datasets: new DatasetStore(database),
    async next(sequence) {
      const { value } = await database
        .insertInto('sequences')
        .values({ name: sequence, value: 1 })
        .onConflict((conflict) =>
          conflict.column('name').doUpdateSet((row) => ({ value: row('sequences.value', '+', 1) })),
        )
        .returning('value')
        .executeTakeFirstOrThrow();
      return value;
    },
    close: () => database.destroy(),
  };
}
