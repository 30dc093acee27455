import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { TenantLimits } from './limits.ts';

const nothing = async () => {};

describe('limits of a tenant', () => {
  test('calls: a burst at once, then so many a second; other tenants notice nothing', () => {
    let now = 0;
    const limits = new TenantLimits({ requestsPerSecond: 10, burst: 3 }, () => now);
    const calls = (tenant: string, count: number) => {
      for (let done = 0; done < count; done++) {
        try {
          limits.request(tenant);
        } catch (error) {
          expect(error).toMatchObject({ code: 8, reason: 'RATE_LIMITED' });
          return done;
        }
      }
      return count;
    };
    expect(calls('a', 5)).toBe(3);
    expect(calls('b', 5)).toBe(3);
    now = 250; // 2.5 calls later
    expect(calls('a', 5)).toBe(2);
    now = 1_000_000;
    expect(calls('a', 5)).toBe(3);
  });

  test('what lasts: so much at once, and what ended twice counts once', () => {
    const limits = new TenantLimits({ watches: 2 });
    const [first] = [limits.hold('a', 'watches'), limits.hold('a', 'watches')];
    limits.hold('b', 'watches');
    expect(() => limits.hold('a', 'watches')).toThrow(/2 watch calls open; at most 2 .*limits\.watches/);
    first?.();
    first?.();
    limits.hold('a', 'watches');
    expect(() => limits.hold('a', 'watches')).toThrow(/limits\.watches/);
  });

  test('runs that are not finished', async () => {
    const limits = new TenantLimits({ activeRuns: 2 });
    await limits.withRoomForRun('a', async () => 1, nothing);
    await expect(limits.withRoomForRun('a', async () => 2, nothing)).rejects.toMatchObject({
      reason: 'QUOTA_EXCEEDED',
    });
  });

  test('runs that are created at the same time', async () => {
    const limits = new TenantLimits({ activeRuns: 2 });
    let made = 0;
    const count = async () => {
      const now = made;
      await setTimeout(5);
      return now;
    };
    const create = () =>
      limits.withRoomForRun('a', count, async () => {
        await setTimeout(5);
        made++;
      });
    const ends = await Promise.allSettled(Array.from({ length: 20 }, create));
    expect(ends.filter(({ status }) => status === 'fulfilled').length).toBe(2);
    expect(made).toBe(2);
  });

  test('runs are counted again only when there may be too many, and then those that ended make room', async () => {
    const limits = new TenantLimits({ activeRuns: 4 });
    let [active, counted] = [1, 0];
    const create = async () => {
      const count = async () => {
        counted++;
        return active;
      };
      await limits.withRoomForRun('a', count, async () => {
        active++;
      });
    };
    for (let i = 0; i < 3; i++) await create();
    expect([active, counted]).toEqual([4, 1]);
    await expect(create()).rejects.toMatchObject({ reason: 'QUOTA_EXCEEDED' });
    active = 2;
    await create();
    await create();
    await expect(create()).rejects.toMatchObject({ reason: 'QUOTA_EXCEEDED' });
    expect(active).toBe(4);
  });
});
