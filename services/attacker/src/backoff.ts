import { status } from '@grpc/grpc-js';

/** Failures in a row, without a byte of progress between them, that a follower bears. */
export const MAX_FAILURES = 6;

/**
 * Milliseconds to wait before the next attempt, or undefined to give up. Only what a new connection may heal is tried again: the trainer cannot be
 * reached, or bytes were damaged on their way.
 * @param failures in a row, from 1
 * @param jitter in [0,1)
 */
export function retryDelay(failures: number, code: status, jitter: number): number | undefined {
  if (code !== status.UNAVAILABLE && code !== status.DATA_LOSS) return undefined;
  if (failures >= MAX_FAILURES) return undefined;
  return 100 * 2 ** (failures - 1) * (0.5 + jitter / 2);
}
