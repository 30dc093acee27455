import { status } from '@grpc/grpc-js';
import { JsigrError } from '@jsigr/service';
import { sql, type Transaction } from 'kysely';
import { runName, type StoredRun, storedRun } from './run-rows.ts';
import type { Tables } from './schema.ts';

export interface RequestId {
  readonly id: string;
  readonly fingerprint: string;
}

/** Request ids are told apart by whose they are, and what they make. */
type Scope = Pick<StoredRun, 'tenant' | 'kind'>;

/**
 * The run that the same request made before, or undefined; until the transaction ends nobody else looks for this id.
 * @throws JsigrError ALREADY_EXISTS when another request came under this id.
 */
export async function findRequest(
  transaction: Transaction<Tables>,
  { tenant, kind }: Scope,
  { id, fingerprint }: RequestId,
): Promise<StoredRun | undefined> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`${tenant} ${kind} ${id}`}, 0))`.execute(transaction);
  const row = await transaction
    .selectFrom('request_ids')
    .innerJoin('runs', 'runs.id', 'request_ids.run')
    .selectAll('runs')
    .select('request_ids.fingerprint')
    .where('request_ids.tenant', '=', tenant)
    .where('request_ids.kind', '=', kind)
    .where('request_ids.request_id', '=', id)
    .executeTakeFirst();
  if (!row || row.fingerprint === fingerprint) return row && storedRun(row);
  throw new JsigrError({
    code: status.ALREADY_EXISTS,
    reason: 'REQUEST_ID_REUSED',
    message: `the request id ${JSON.stringify(id)} belongs to ${runName(row)}, which was another request`,
    hint: 'a new request needs a new request id',
  });
}

export async function keepRequest(
  transaction: Transaction<Tables>,
  { tenant, kind }: Scope,
  { id, fingerprint }: RequestId,
  run: string,
): Promise<void> {
  await transaction
    .insertInto('request_ids')
    .values({ tenant, kind, request_id: id, fingerprint, run })
    .onConflict((conflict) => conflict.columns(['tenant', 'kind', 'request_id']).doUpdateSet({ fingerprint, run }))
    .execute();
}
