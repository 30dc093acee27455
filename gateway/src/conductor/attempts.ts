import { setTimeout } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { JsigrError, unavailable } from '@jsigr/service';
import { DATABASE_UNAVAILABLE } from '../store/database.ts';
import type { StoredRun } from '../store/runs.ts';
import { inWords } from '../workers/far-side.ts';
import type { Journal } from './journal.ts';
import type { Means } from './means.ts';

/** Waits before a run is begun again, in milliseconds; one more each time without having come further. */
const DELAYS_MS: readonly number[] = [200, 1000, 3000, 10_000];
/** Reason of an error that no other attempt is to follow. */
const GIVEN_UP = 'GIVEN_UP';
/** So many times in a row a database that breaks off is no fault of the run. */
const INTERRUPTIONS = 10;

/**
 * Conducts a run, and begins again where it stood when its worker was lost: as often as it comes further each time, and `means.retries` times
 * without. Everything that happens is an event of the run.
 * @throws what a new worker would not heal; the signal's reason
 */
export async function withRetries(
  run: StoredRun,
  journal: Journal,
  means: Means,
  signal: AbortSignal,
  attempt: (run: StoredRun) => Promise<void>,
): Promise<void> {
  let interruptions = 0;
  for (let current = run; ; ) {
    const error = await attempt(current).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    if (error === undefined) return;
    signal.throwIfAborted();
    means.closing.throwIfAborted();
    const { code, reason } = JsigrError.from(error);
    if (code !== status.UNAVAILABLE || reason === GIVEN_UP) throw error;
    current = await patiently(() => means.runs.get(run.kind, run.id), signal);
    interruptions = reason === DATABASE_UNAVAILABLE ? interruptions + 1 : 0;
    const isInterruption = interruptions > 0 && interruptions <= INTERRUPTIONS;
    const isFault = reason !== 'RUN_HANDED_BACK' && !isInterruption;
    if (isFault && current.retriesInPlace >= means.retries) throw givenUp(error, means.retries, current.retries);
    const begun = current.resumePoint !== undefined || (await patiently(() => journal.parts(), signal)).size > 0;
    current = await patiently(() => journal.again(`${inWords(error)}; ${whence(current, begun)}`, isFault), signal);
    const times = isInterruption ? interruptions : current.retriesInPlace;
    const delay = DELAYS_MS[Math.min(times, DELAYS_MS.length) - 1];
    if (isFault || isInterruption)
      await setTimeout(delay, undefined, { signal: AbortSignal.any([signal, means.closing]) }).catch(() => {});
  }
}

export interface OverLosses {
  /** How often it is begun again without having come further. */
  readonly retries: number;
  /** What it has come to: another value, and it has come further. */
  readonly progress: () => unknown;
  readonly onLost: (error: unknown) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Does a part of a run's work again when the worker at it is lost, while others go on with theirs.
 * @param work calls `isAtWork` once it has a worker: that there is none to be had is the run's trouble, not the part's
 * @throws what a new worker would not heal; GIVEN_UP; the signal's reason
 */
export async function overLosses<T>(
  work: (isAtWork: () => void) => Promise<T>,
  { retries, progress, onLost, signal }: OverLosses,
): Promise<T> {
  let inVain = 0;
  for (;;) {
    const before = progress();
    let isAtWork = false;
    try {
      return await work(() => {
        isAtWork = true;
      });
    } catch (error) {
      signal.throwIfAborted();
      const { code, reason } = JsigrError.from(error);
      if (!isAtWork || code !== status.UNAVAILABLE || reason === DATABASE_UNAVAILABLE) throw error;
      inVain = progress() === before ? inVain + 1 : 1;
      if (inVain > retries) throw givenUp(error, retries);
      await onLost(error);
      await setTimeout(DELAYS_MS[Math.min(inVain, DELAYS_MS.length) - 1], undefined, { signal });
    }
  }
}

/** As long as the database is away there is nothing to do but to wait for it. */
export async function patiently<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (JsigrError.from(error).reason !== DATABASE_UNAVAILABLE) throw error;
      await setTimeout(DELAYS_MS[1], undefined, { signal });
    }
  }
}

function whence({ resumePoint, kind }: StoredRun, begun: boolean): string {
  if (!begun) return 'it begins again';
  return kind === 'training' ? `it goes on from step ${resumePoint?.step}` : 'it goes on from its ledger';
}

/** @param inAll how often it was begun again, having come further in between */
function givenUp(error: unknown, allowed: number, inAll = allowed): JsigrError {
  const times = allowed === 1 ? 'once' : `${allowed} times`;
  const how = inAll > allowed ? `${times} without coming further, ${inAll} in all` : times;
  return unavailable(
    GIVEN_UP,
    allowed === 0 ? inWords(error) : `${inWords(error)}; it was begun again ${how}, in vain`,
  );
}
