import { WorkerKind } from '@jsigr/proto';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Caller } from '../access/caller.ts';
import { type Registration, WorkerRegistry } from './registry.ts';

let registry: WorkerRegistry;
let registered: Registration | undefined;
let gone: string | undefined;
beforeEach(() => {
  vi.useFakeTimers();
  let token = 0;
  registry = new WorkerRegistry({ leaseMs: 15_500, nextToken: async () => ++token });
  [registered, gone] = [undefined, undefined];
  registry.expect('w1', {
    kind: 'trainer',
    onRegistered: (registration) => {
      registered = registration;
    },
    onGone: (reason) => {
      gone = reason;
    },
  });
});
afterEach(() => {
  registry.close();
  vi.useRealTimers();
});

const worker: Caller = { subject: 'worker/w1', role: 'worker', tenant: '' };
const request = { kind: WorkerKind.WORKER_KIND_TRAINER, address: '127.0.0.1:4000', workerId: 'w1', capacity: 0 };

describe('registering', () => {
  test('gives a lease with its duration, and a fencing token that grows', async () => {
    const first = await registry.register(request, worker);
    expect(first).toMatchObject({ leaseDuration: { seconds: 15, nanos: 500_000_000 }, fencingToken: 1 });
    expect(registered).toEqual({
      workerId: 'w1',
      kind: 'trainer',
      address: '127.0.0.1:4000',
      capacity: 1,
      fencingToken: 1,
    });
    expect((await registry.register(request, worker)).fencingToken).toBe(2);
  });

  const refused: [string, Partial<typeof request>, string][] = [
    ['a worker that nobody expects', { workerId: 'w2' }, 'UNKNOWN_WORKER'],
    ['a worker of another kind', { kind: WorkerKind.WORKER_KIND_ATTACKER as never }, 'INVALID_ARGUMENT'],
    ['an address that is none', { address: 'here' }, 'INVALID_ARGUMENT'],
  ];
  for (const [what, change, reason] of refused)
    test(`refuses ${what}`, async () => {
      await expect(registry.register({ ...request, ...change }, worker)).rejects.toMatchObject({ reason });
    });

  test('tells what workers know of their GPUs, as long as they are there', async () => {
    const { leaseId } = await registry.register(request, worker);
    expect(registry.gpuMemory()).toEqual([]);
    const gpuMemory = { usedBytes: 3, totalBytes: 8 };
    registry.renew({ leaseId, load: 0, gpuMemory }, worker);
    expect(registry.gpuMemory()).toEqual([{ kind: 'trainer', worker: 'w1', memory: gpuMemory }]);
    registry.renew({ leaseId, load: 0 }, worker);
    expect(registry.gpuMemory()).toEqual([]);
    registry.renew({ leaseId, load: 0, gpuMemory }, worker);
    registry.deregister({ leaseId }, worker);
    expect(registry.gpuMemory()).toEqual([]);
  });

  test('refuses a worker that speaks for another', async () => {
    const other = { ...worker, subject: 'worker/w2' };
    await expect(registry.register(request, other)).rejects.toMatchObject({ reason: 'UNKNOWN_WORKER' });
    const { leaseId } = await registry.register(request, worker);
    expect(() => registry.renew({ leaseId, load: 0 }, other)).toThrow(/there is no lease/);
    expect(() => registry.deregister({ leaseId }, other)).toThrow(/there is no lease/);
    expect(gone).toBeUndefined();
  });

  test('a lease lasts as long as it is renewed', async () => {
    const { leaseId } = await registry.register(request, worker);
    for (let i = 0; i < 5; i++) {
      vi.advanceTimersByTime(15_000);
      registry.renew({ leaseId, load: 1 }, worker);
    }
    expect(gone).toBeUndefined();
    vi.advanceTimersByTime(15_500);
    expect(gone).toBe('did not renew its lease for 15.5 s');
    expect(() => registry.renew({ leaseId, load: 0 }, worker)).toThrow(/there is no lease/);
  });

  test('a gateway that slept for an hour gives its workers a moment to renew', async () => {
    const { leaseId } = await registry.register(request, worker);
    vi.setSystemTime(Date.now() + 3_600_000);
    vi.advanceTimersToNextTimer(); // what was due meanwhile
    expect(gone).toBeUndefined();
    registry.renew({ leaseId, load: 1 }, worker);
    vi.advanceTimersByTime(15_499);
    expect(gone).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect(gone).toBe('did not renew its lease for 15.5 s');
  });

  test('a worker that leaves is gone', async () => {
    const { leaseId } = await registry.register(request, worker);
    registry.deregister({ leaseId }, worker);
    expect(gone).toBe('left');
    expect(() => registry.deregister({ leaseId }, worker)).toThrow(/there is no lease/);
  });

  test('a gateway that is started again goes on with the lease of a worker that still lives', async () => {
    const { leaseId, fencingToken } = await registry.register(request, worker);
    registry.close();
    const next = new WorkerRegistry({ leaseMs: 15_500, nextToken: async () => 2 });
    const before = { workerId: 'w1', kind: 'trainer', address: request.address, capacity: 1, fencingToken } as const;
    next.adopt(before, (reason) => {
      gone = reason;
    });
    vi.advanceTimersByTime(15_000);
    next.renew({ leaseId, load: 1 }, worker);
    vi.advanceTimersByTime(15_499);
    expect(gone).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect(gone).toBe('did not renew its lease for 15.5 s');
    next.close();
  });

  test('a worker that was started again under its id has a lease of its own, and the one before does not end it', async () => {
    const first = await registry.register(request, worker);
    vi.advanceTimersByTime(10_000);
    const second = await registry.register(request, worker);
    expect(() => registry.renew({ leaseId: first.leaseId }, worker)).toThrow(/there is no lease/);
    vi.advanceTimersByTime(10_000);
    expect(gone).toBeUndefined();
    expect(registry.renew({ leaseId: second.leaseId }, worker)).toMatchObject({ released: false });
  });

  test('a worker that was let go learns so at its next renewal', async () => {
    const { leaseId } = await registry.register(request, worker);
    registry.forget('w1');
    expect(() => registry.renew({ leaseId, load: 0 }, worker)).toThrow(/there is no lease/);
    expect(gone).toBeUndefined();
  });
});
