import { status } from '@grpc/grpc-js';
import { JsigrError, unavailable } from '@jsigr/service';
import type { Worker } from './pool.ts';

/** A signal that is aborted with what became of the worker when it is lost. */
export function lossOf(worker: Worker): AbortSignal {
  const controller = new AbortController();
  void worker.lost.then((how) => controller.abort(unavailable('WORKER_LOST', how)));
  return controller.signal;
}

const CONNECTION_BROKE: readonly status[] = [status.UNAVAILABLE, status.UNKNOWN, status.INTERNAL, status.CANCELLED];
/** And a call that was given no answer in its time: the worker is frozen, or a clock jumped. */
const NO_ANSWER: readonly status[] = [...CONNECTION_BROKE, status.DEADLINE_EXCEEDED];
const NOTICE_MS = 1000;

/**
 * Why a call to a worker failed. When its process dies the connection breaks first and the process is seen to be gone a moment later: that
 * is the better explanation, so it is waited for. What the connection says, whatever its code, is no word of the worker: UNAVAILABLE, so that another worker is tried.
 */
export async function explained(error: unknown, lost: AbortSignal): Promise<JsigrError> {
  const ours = JsigrError.from(error);
  if (!NO_ANSWER.includes(ours.code)) return ours;
  await new Promise<void>((resolve) => {
    if (lost.aborted) return resolve();
    const timer = setTimeout(resolve, NOTICE_MS);
    lost.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
  if (lost.aborted) return JsigrError.from(lost.reason);
  const { code, reason, message } = ours;
  const isOfConnection = code !== status.UNAVAILABLE && reason === status[code];
  return isOfConnection ? unavailable('WORKER_UNREACHABLE', `the call to the worker broke off: ${message}`) : ours;
}

export function isBroken({ code, reason }: JsigrError): boolean {
  return reason !== 'WORKER_LOST' && CONNECTION_BROKE.includes(code);
}

/** In plain words: what happened, and what to do next. */
export function inWords(error: unknown): string {
  const { message, hint } = JsigrError.from(error);
  return [message, hint].filter(Boolean).join('; ');
}
