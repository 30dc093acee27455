import { status } from '@grpc/grpc-js';
import { JsigrError } from '@jsigr/service';

/** So many calls a second in the long run, and so many at once. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #level: number;
  #at: number;

  /** @param now milliseconds that never go back */
  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#level = burst;
    this.#at = now;
  }

  /** Seconds until there is room for a call; 0: now. @param taken calls that have no room yet, and may be given it before */
  secondsToNext(now: number, taken = 0): number {
    return Math.max(0, 1 + taken - this.#levelAt(now)) / this.#perSecond;
  }

  /** Takes room for a call, if there is any. */
  take(now: number): void {
    this.#level = Math.max(0, this.#levelAt(now) - 1);
    this.#at = now;
  }

  /** What is full says nothing that its absence would not say. */
  isFull(now: number): boolean {
    return this.#levelAt(now) >= this.#burst;
  }

  #levelAt(now: number): number {
    return Math.min(this.#burst, this.#level + ((now - this.#at) / 1000) * this.#perSecond);
  }
}

/** RESOURCE_EXHAUSTED RATE_LIMITED. @param seconds until a call is let in again */
export function rateLimited(message: string, seconds: number): JsigrError {
  const retryAfterSeconds = Math.max(1, Math.ceil(seconds));
  return new JsigrError({
    code: status.RESOURCE_EXHAUSTED,
    reason: 'RATE_LIMITED',
    message,
    hint: `try again in ${retryAfterSeconds} s`,
    retryAfterSeconds,
  });
}
