import { isIPv6 } from 'node:net';
import { Lru } from '@jsigr/service/compute';
import { rateLimited, TokenBucket } from './token-bucket.ts';

/** Addresses that are remembered: whoever comes from more than these pushes out those that were longest silent. */
const MOST_ADDRESSES = 10_000;

/** Calls without a good sign-in that one address may make in a minute, unless told. */
export const FAILED_SIGN_INS_PER_MINUTE = 300;

/**
 * Keeps whoever does not sign in from having tokens looked up, and logs filled, without end: so many calls a minute of each address. Nobody else's calls
 * are counted, and whoever signed in a while ago still may while others behind the same address fail.
 */
export class Strangers {
  readonly #perMinute: number;
  readonly #now: () => number;
  readonly #buckets = new Lru<TokenBucket>(MOST_ADDRESSES);
  /** Tokens that are being looked up, of each address. */
  readonly #open = new Map<string, number>();

  /** @param now milliseconds that never go back */
  constructor(perMinute: number = FAILED_SIGN_INS_PER_MINUTE, now: () => number = () => performance.now()) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** @param address of the peer @throws JsigrError RATE_LIMITED while too many of its calls have failed, or may be about to */
  demandRoom(address: string): void {
    const key = networkOf(address);
    const open = this.#open.get(key) ?? 0;
    const bucket = this.#buckets.get(key) ?? (open > 0 ? this.#newBucket() : undefined);
    const seconds = bucket?.secondsToNext(this.#now(), open) ?? 0;
    if (seconds > 0)
      throw rateLimited(
        `more than ${this.#perMinute} calls a minute without a good sign-in came from this address (access.failedSignInsPerMinute)`,
        seconds,
      );
  }

  /**
   * Looks up a token that may be anybody's: until it is known whose it is, that takes the room of a call that failed, so that no more are looked up at once
   * than may fail.
   * @throws JsigrError RATE_LIMITED
   */
  async during<T>(address: string, lookUp: () => Promise<T>): Promise<T> {
    this.demandRoom(address);
    const key = networkOf(address);
    this.#open.set(key, (this.#open.get(key) ?? 0) + 1);
    try {
      return await lookUp();
    } finally {
      const left = (this.#open.get(key) ?? 1) - 1;
      if (left > 0) this.#open.set(key, left);
      else this.#open.delete(key);
    }
  }

  /** One more call that did not sign in. */
  count(address: string): void {
    const key = networkOf(address);
    const bucket = this.#buckets.get(key) ?? this.#newBucket();
    this.#buckets.set(key, bucket);
    bucket.take(this.#now());
  }

  #newBucket(): TokenBucket {
    return new TokenBucket(this.#perMinute / 60, this.#perMinute, this.#now());
  }
}

/** Of IPv6 the first 64 bits: whoever has one address there has all. An IPv4 address may be written as IPv6. */
export function networkOf(address: string): string {
  const bare = address.replace(/%.*$/, '');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  if (mapped) return mapped;
  if (!isIPv6(bare)) return bare;
  const [head = '', tail] = bare.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = !tail ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - front.length - back.length }, () => '0');
  const groups = [...front, ...zeros, ...back].map((group) => Number.parseInt(group, 16).toString(16));
  return `${groups.slice(0, 4).join(':')}::/64`;
}
