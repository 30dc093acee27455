import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@jsigr/service';
import { isCode, type KubernetesClient } from './client.ts';
import { type Lease, leases } from './types.ts';

export interface LeaderOptions {
  readonly client: Pick<KubernetesClient, 'get' | 'create' | 'replace' | 'namespace'>;
  /** Name of the Lease. */
  readonly name: string;
  /** Unlike that of any other process. */
  readonly identity: string;
  readonly logger: Logger;
  /** How long a leader that says nothing more stays leader, in seconds. */
  readonly durationSeconds?: number;
}

/** A gateway that takes a dead one's place needs some seconds to start, and only from then on sees that the Lease does not change: 20 s in all must do. */
const DURATION_SECONDS = 10;
/** A leader renews so many times in a duration, and steps down when it could not for two thirds of it: before another one takes over. */
const RENEWALS = 6;

/**
 * Does the work while this process holds the Lease, and at no other time: its signal is aborted when the Lease is lost, and it is begun again when it is won
 * again. Others' clocks are not trusted: a Lease has run out when it did not change for its duration as seen from here.
 */
export async function whileLeading(
  options: LeaderOptions,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { identity, logger, durationSeconds = DURATION_SECONDS } = options;
  const durationMs = durationSeconds * 1000;
  const pause = () => sleep(durationMs / RENEWALS, undefined, { signal }).catch(() => undefined);
  let seen = { version: '', since: 0 };
  while (!signal.aborted) {
    const lease = await read(options);
    const version = lease?.metadata?.resourceVersion ?? '';
    if (version !== seen.version) seen = { version, since: performance.now() };
    const free = !lease?.spec?.holderIdentity || performance.now() - seen.since > durationMs;
    const held = free || lease?.spec?.holderIdentity === identity ? await take(options, lease) : undefined;
    if (!held) {
      await pause();
      continue;
    }
    logger.info({ identity }, 'leading');
    const losing = new AbortController();
    const leading = work(AbortSignal.any([signal, losing.signal]));
    const last = await keep(options, held, durationMs, AbortSignal.any([signal, settled(leading)]));
    losing.abort(new DOMException('the lease was lost', 'AbortError'));
    await leading;
    if (last && signal.aborted) await take(options, last, '');
  }
}

/** Renews until the signal is aborted (then the Lease is still held, and returned) or the Lease is lost. */
async function keep(
  options: LeaderOptions,
  first: Lease,
  durationMs: number,
  signal: AbortSignal,
): Promise<Lease | undefined> {
  let held = first;
  let renewed = performance.now();
  while (!signal.aborted) {
    await sleep(durationMs / RENEWALS, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return held;
    const asked = performance.now();
    // A request may hang for longer than a Lease lasts.
    const late = new AbortController();
    const next = await Promise.race([
      take(options, held).finally(() => late.abort()),
      sleep(Math.max(0, renewed + (durationMs * 2) / 3 - asked), undefined, { signal: late.signal }).catch(
        () => undefined,
      ),
    ]);
    if (next) {
      held = next;
      renewed = asked;
    } else if (performance.now() - renewed > (durationMs * 2) / 3 || (await isTaken(options))) {
      options.logger.warn({ identity: options.identity }, 'not leading any more: the lease was lost');
      return undefined;
    }
  }
  return held;
}

async function isTaken(options: LeaderOptions): Promise<boolean> {
  const lease = await read(options);
  return lease !== undefined && lease.spec?.holderIdentity !== options.identity;
}

async function read({ client, name, logger }: LeaderOptions): Promise<Lease | undefined> {
  return client.get<Lease>(leases, name).catch((error) => {
    if (!isCode(error, 404)) logger.warn(`the lease cannot be read: ${error instanceof Error ? error.message : error}`);
    return undefined;
  });
}

/** @returns undefined when another one was faster, or the API server cannot be reached. */
async function take(options: LeaderOptions, lease: Lease | undefined, holder = options.identity) {
  const { client, name, durationSeconds = DURATION_SECONDS, logger } = options;
  const now = microTime(new Date());
  const isOurs = lease?.spec?.holderIdentity === holder;
  const spec = {
    holderIdentity: holder,
    leaseDurationSeconds: durationSeconds,
    acquireTime: isOurs ? (lease?.spec?.acquireTime ?? now) : now,
    renewTime: now,
    leaseTransitions: (lease?.spec?.leaseTransitions ?? 0) + (isOurs || !lease ? 0 : 1),
  };
  const metadata = { ...lease?.metadata, name, namespace: client.namespace };
  const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec } as Lease;
  try {
    // The version in the metadata makes the write fail when another one came before.
    return lease ? await client.replace(leases, body) : await client.create(leases, body);
  } catch (error) {
    if (!isCode(error, 409))
      logger.warn(`the lease cannot be written: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

/** Six digits after the second, or the API server refuses it. */
function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}

/** Aborted once the promise has settled. */
function settled(promise: Promise<unknown>): AbortSignal {
  const controller = new AbortController();
  void promise.then(
    () => controller.abort(),
    () => controller.abort(),
  );
  return controller.signal;
}
