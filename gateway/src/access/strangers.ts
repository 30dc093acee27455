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

  /** @param now milliseconds that never go back */
  constructor(perMinute: number = FAILED_SIGN_INS_PER_MINUTE, now: () => number = () => performance.now()) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** @param address of the peer @throws JsigrError RATE_LIMITED while too many of its calls have failed */
  demandRoom(address: string): void {
    const seconds = this.#buckets.get(networkOf(address))?.secondsToNext(this.#now()) ?? 0;
    if (seconds > 0)
      throw rateLimited(
        `more than ${this.#perMinute} calls a minute without a good sign-in came from this address (access.failedSignInsPerMinute)`,
        seconds,
      );
  }

  /** One more call that did not sign in. */
  count(address: string): void {
    const key = networkOf(address);
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#perMinute / 60, this.#perMinute, this.#now());
    this.#buckets.set(key, bucket);
    bucket.take(this.#now());
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
