import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { PGlite } from '@electric-sql/pglite';
import { status } from '@grpc/grpc-js';
import { failedPrecondition, JsigrError, recogniseErrors, unavailable } from '@jsigr/service';
import { type Dialect, Kysely, PGliteDialect, PostgresDialect, type PostgresPool, sql, type Transaction } from 'kysely';
import pg from 'pg';
import type { Tell } from './run-statements.ts';
import type { Tables } from './schema.ts';
import { seed } from './seed.ts';

/** Reason of the error of a statement that found no server, or lost it: it may have come through. */
export const DATABASE_UNAVAILABLE = 'DATABASE_UNAVAILABLE';

/** A PostgreSQL that is open: the embedded one, which belongs to this process alone, or a server, which others may write to as well. */
export interface Database {
  readonly kysely: Kysely<Tables>;
  /** The same without a limit of time for a statement: for migrations and for what goes through whole tables. */
  readonly patient: Kysely<Tables>;
  /** The same as a column of a statement that changes a run. */
  readonly telling: Tell;
  /** Tells the others, once the transaction is committed. */
  tell(transaction: Transaction<Tables>, message: string): Promise<void>;
  /** Hears what the others tell; `onGap` after a connection was made: what was told before that may have been missed. */
  hear(onMessage: (message: string) => void, onGap: () => void): Promise<void>;
  /** Waits until no other gateway works on the database. @throws JsigrError DATABASE_IN_USE after 30 s */
  own(): Promise<void>;
  close(): Promise<void>;
}

const CHANNEL = 'jsigr_run_events';
/** Of the advisory lock of the gateway that works on the database. */
const OWNER = 7461;
const OWN_MS = 30_000;
const CONNECTIONS = 10;
const CONNECT_MS = 5000;
/** A server that says nothing for so long to a statement is taken for gone: one that vanished without a word would be waited for for a quarter of an hour. */
const STATEMENT_MS = 60_000;
const FAREWELL_MS = 1000;
/** Connections that nothing is asked over are tried after so long. */
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 };
/** Waits between attempts after the connection broke, in milliseconds; then the error is passed on. */
const RETRY_MS: readonly number[] = [100, 200, 400, 800, 1600, 3200];

/** The embedded PostgreSQL. @param directory absent: in memory */
export async function openPglite(directory?: string): Promise<Database> {
  if (directory !== undefined) {
    await seed(directory);
    checkWhole(directory);
  }
  return pgliteDatabase(await PGlite.create(directory ?? 'memory://'));
}

/** PGlite takes a folder without this file for an empty one, and writes a new database over what is there. @throws Error */
function checkWhole(directory: string): void {
  const found = existsSync(directory) ? readdirSync(directory) : [];
  if (found.length > 0 && !found.includes('PG_VERSION')) throw new Error(`${join(directory, 'PG_VERSION')} is missing`);
}

export function pgliteDatabase(pglite: PGlite): Database {
  const kysely = new Kysely<Tables>({ dialect: new PGliteDialect({ pglite }) });
  // Nobody else is there to be told or heard.
  return {
    kysely,
    patient: kysely,
    telling: () => sql`null as told`,
    tell: async () => {},
    hear: async () => {},
    own: async () => {},
    close: () => kysely.destroy(),
  };
}

/**
 * A PostgreSQL server.
 * @param url e.g. postgres://user:password@host:5432/database
 * @param statementMs how long a statement may take, unless it is one of the patient
 * @throws JsigrError DATABASE_UNAVAILABLE
 */
export async function openPostgres(url: string, { statementMs = STATEMENT_MS } = {}): Promise<Database> {
  const settings = { connectionString: url, connectionTimeoutMillis: CONNECT_MS, ...KEEP_ALIVE };
  const pool = new pg.Pool({ ...settings, max: CONNECTIONS, types });
  // A connection that breaks while nobody uses it is replaced at the next use.
  pool.on('error', () => {});
  const kysely = new Kysely<Tables>({ dialect: serverDialect(pool, statementMs) });
  const patient = new Kysely<Tables>({ dialect: serverDialect(pool) });
  const listener = new Listener({ ...settings, query_timeout: statementMs });
  try {
    await sql`select 1`.execute(kysely);
  } catch (error) {
    await kysely.destroy();
    throw error;
  }
  return {
    kysely,
    patient,
    telling: (run, sequence) => sql`pg_notify(${CHANNEL}, ${run} || ' ' || ${sequence}) as told`,
    tell: async (transaction, message) => {
      await sql`select pg_notify(${CHANNEL}, ${message})`.execute(transaction);
    },
    hear: (onMessage, onGap) => listener.start(onMessage, onGap),
    own: () => listener.own(),
    async close() {
      await listener.close();
      await kysely.destroy();
    },
  };
}

/**
 * Does the work again when the connection to the database broke. Whether what was being committed then counts is not known: from the second time on
 * the work is told to look first.
 */
export async function persistently<T>(work: (again: boolean) => Promise<T>): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await work(failures > 0);
    } catch (error) {
      const delay = RETRY_MS[failures];
      if (JsigrError.from(error).reason !== DATABASE_UNAVAILABLE || delay === undefined) throw error;
      await setTimeout(delay);
    }
  }
}

/** int8 as numbers: what is counted here stays far below 2^53. */
const types = {
  getTypeParser: ((id: number, format?: 'text' | 'binary') =>
    id === pg.types.builtins.INT8
      ? Number
      : pg.types.getTypeParser(id, format as 'text')) as typeof pg.types.getTypeParser,
};

/** @param statementMs how long a statement may take; absent: as long as it does */
function serverDialect(pool: pg.Pool, statementMs?: number): Dialect {
  const translated: PostgresPool = {
    options: pool.options,
    connect: async () => {
      const client = await pool.connect().catch(fail);
      let broken: Error | undefined;
      const note = (error: Error) => {
        broken = error;
      };
      client.on('error', note);
      const query = async (text: string, values: readonly unknown[]) => {
        // Its answer may still come, and would be taken for that to the next statement; a transaction ends with it.
        if (isTimeout(broken)) fail(broken);
        try {
          return await client.query({ text, values: [...values], query_timeout: statementMs } as pg.QueryConfig);
        } catch (error) {
          if (isTimeout(error)) broken = error;
          return fail(error);
        }
      };
      return {
        query: query as never,
        release: () => {
          client.off('error', note);
          client.release(broken);
        },
      } as Awaited<ReturnType<PostgresPool['connect']>>;
    },
    end: () => pool.end(),
  };
  return new PostgresDialect({ pool: translated });
}

/** Classes of SQLSTATE that say that the server cannot be talked to at present: connection, operator intervention, too many connections. */
const GONE = /^(08...|57P..|53300)$/;
const SQLSTATE = /^[0-9A-Z]{5}$/;
const TIMEOUT = 'Query read timeout';
const NETWORK = /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|EAI_AGAIN|ENOENT)/;

function fail(error: unknown): never {
  const { code = '', message } = error as { code?: string; message: string };
  // What the server says by itself has a code; a statement that took it too long is no server that is gone.
  const isOurs = !SQLSTATE.test(code) && /Connection terminated|timeout|not queryable/i.test(message);
  const lost = GONE.test(code) || NETWORK.test(code) || isOurs;
  if (!lost) throw error;
  throw unavailable(
    DATABASE_UNAVAILABLE,
    `the database server cannot be reached: ${message || code}`,
    'is it running, and is JSIGR_DATABASE_URL right?',
  );
}

/** Of the driver's own, which the server knows nothing of. */
function isTimeout(error: unknown): error is Error {
  return error instanceof Error && error.message === TIMEOUT;
}

/** SQLSTATE of a disk without room: as with a server that is away, there is nothing to do but to wait for it. */
const FULL = /^53100$/;
/** Classes of SQLSTATE that say that what lies on the disk is not what was written there, or cannot be read. */
const DAMAGED = /^(XX00[12]|58...)$/;

const saying =
  (codes: RegExp) =>
  (error: unknown): error is Error =>
    error instanceof Error && codes.test(String((error as { code?: unknown }).code));

recogniseErrors(saying(FULL), (error) =>
  unavailable(DATABASE_UNAVAILABLE, `the database finds no room on its disk: ${error.message}`, 'free space there'),
);
recogniseErrors(
  saying(DAMAGED),
  (error) =>
    new JsigrError({
      code: status.DATA_LOSS,
      reason: 'DATABASE_DAMAGED',
      message: `the database is damaged, or its disk fails: ${error.message}`,
      hint: 'restore it from a backup, or choose another data directory',
      cause: error,
    }),
);

/** A connection of its own that listens, and is made again when it breaks. */
class Listener {
  readonly #settings: pg.ClientConfig;
  readonly #closing = new AbortController();
  #client: pg.Client | undefined;
  #owns = false;

  constructor(settings: pg.ClientConfig) {
    this.#settings = settings;
  }

  async start(onMessage: (message: string) => void, onGap: () => void): Promise<void> {
    await this.#connect(onMessage, onGap).catch(fail);
  }

  /** The lock is the connection's, goes with it and is taken again with the next: in between, tokens keep two gateways apart (see `claim`). */
  async own(): Promise<void> {
    for (const until = Date.now() + OWN_MS; Date.now() < until; await setTimeout(RETRY_MS[0])) {
      const found = await this.#client?.query('select pg_try_advisory_lock($1) as owned', [OWNER]).catch(fail);
      this.#owns = found?.rows[0]?.owned === true;
      if (this.#owns) return;
    }
    throw failedPrecondition(
      'DATABASE_IN_USE',
      'another gateway works on this database',
      'stop it, or give this gateway a database of its own',
    );
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const client = this.#client;
    // One that is gone without a word hears no farewell.
    const farewell = client?.end().catch(() => undefined);
    await Promise.race([farewell, setTimeout(FAREWELL_MS, undefined, { ref: false })]);
    client?.connection.stream.destroy();
  }

  async #connect(onMessage: (message: string) => void, onGap: () => void): Promise<void> {
    const client = new pg.Client(this.#settings);
    client.on('notification', ({ payload }) => onMessage(payload ?? ''));
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
      if (this.#owns) await client.query('select pg_try_advisory_lock($1)', [OWNER]);
    } catch (error) {
      void client.end().catch(() => undefined);
      throw error;
    }
    client.once('end', () => void this.#again(onMessage, onGap));
    this.#client = client;
    onGap();
  }

  async #again(onMessage: (message: string) => void, onGap: () => void): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; failures++) {
      const delay = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
      await setTimeout(delay, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const connected = await this.#connect(onMessage, onGap).then(
        () => true,
        () => false,
      );
      if (connected) return;
    }
  }
}
