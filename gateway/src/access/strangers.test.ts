import { status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { networkOf, Strangers } from './strangers.ts';

let now = 0;
const strangers = () => new Strangers(60, () => now);
const refusal = (of: Strangers, address: string) => {
  try {
    of.demandRoom(address);
    return undefined;
  } catch (error) {
    return error;
  }
};

describe('calls without sign-in', () => {
  test('are held up once there were too many of an address, and let in again as time goes by', () => {
    const some = strangers();
    for (let i = 0; i < 60; i++) {
      some.demandRoom('192.0.2.1');
      some.count('192.0.2.1');
    }
    expect(refusal(some, '192.0.2.1')).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      reason: 'RATE_LIMITED',
      retryAfterSeconds: 1,
      message: expect.stringContaining('more than 60 calls a minute'),
    });
    expect(refusal(some, '192.0.2.2')).toBeUndefined();
    now += 1000;
    expect(refusal(some, '192.0.2.1')).toBeUndefined();
    some.count('192.0.2.1');
    expect(refusal(some, '192.0.2.1')).toBeDefined();
  });

  test('whose tokens are being looked up take room until that is done', async () => {
    const some = strangers();
    const ends: (() => void)[] = [];
    const open = () => some.during('192.0.2.1', () => new Promise<void>((resolve) => void ends.push(resolve)));
    const running = Array.from({ length: 60 }, open);
    await expect(open()).rejects.toMatchObject({ reason: 'RATE_LIMITED' });
    expect(ends).toHaveLength(60);
    expect(refusal(some, '192.0.2.2')).toBeUndefined();
    for (const end of ends) end();
    await Promise.all(running);
    // They were good: nothing was counted.
    expect(refusal(some, '192.0.2.1')).toBeUndefined();
    for (let i = 0; i < 59; i++) some.count('192.0.2.1');
    const last = open();
    await expect(open()).rejects.toMatchObject({ reason: 'RATE_LIMITED' });
    ends.at(-1)?.();
    await last;
  });

  test('are remembered of so many addresses, however many there are', () => {
    const some = strangers();
    for (let i = 0; i < 60; i++) some.count('192.0.2.1');
    for (let i = 0; i < 9_999; i++) some.count(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    expect(refusal(some, '192.0.2.1')).toBeDefined();
    // Asking made it the one that was heard of last: it outlives the others by one round.
    for (let i = 0; i < 10_000; i++) some.count(`11.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    expect(refusal(some, '192.0.2.1')).toBeUndefined();
  });
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0db8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['unknown', 'unknown'],
])('%s is of %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});
