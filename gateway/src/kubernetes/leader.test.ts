import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '@jsigr/service';
import { afterEach, expect, test, vi } from 'vitest';
import { KubernetesError } from './client.ts';
import { whileLeading } from './leader.ts';
import type { Collection, KubernetesObject, Lease } from './types.ts';

/** One Lease, with the API server's rule that a write must know the version that it replaces. */
class OneLease {
  readonly namespace = 'default';
  lease: Lease | undefined;
  /** Identities that cannot reach the API server. */
  readonly cut = new Set<string>();
  /** Identities whose writes are not answered. */
  readonly hung = new Set<string>();
  #version = 0;

  as(identity: string) {
    const check = () => {
      if (this.cut.has(identity)) throw new KubernetesError(0, 'Unreachable', 'cut');
    };
    return {
      namespace: this.namespace,
      get: async <T>(): Promise<T> => {
        check();
        if (!this.lease) throw new KubernetesError(404, 'NotFound', 'no lease');
        return structuredClone(this.lease) as T;
      },
      create: async <T>(_: Collection, body: T): Promise<T> => {
        check();
        if (this.lease) throw new KubernetesError(409, 'AlreadyExists', 'there is one');
        return this.#store(body);
      },
      replace: async <T extends KubernetesObject>(_: Collection, body: T): Promise<T> => {
        check();
        if (this.hung.has(identity)) return new Promise(() => {});
        if (body.metadata?.resourceVersion !== this.lease?.metadata?.resourceVersion)
          throw new KubernetesError(409, 'Conflict', 'it has changed');
        return this.#store(body);
      },
    };
  }

  #store<T>(body: T): T {
    const { metadata, ...rest } = body as Lease;
    this.lease = { ...rest, metadata: { ...metadata, resourceVersion: String(++this.#version) } };
    return structuredClone(this.lease) as T;
  }
}

const SECONDS = 0.3;
const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

/** Who leads, at the moment and when. */
function candidates(lease: OneLease, ...names: string[]) {
  const leading = new Set<string>();
  const history: string[] = [];
  const most = { atOnce: 0 };
  const controllers = Object.fromEntries(
    names.map((name) => {
      const stop = new AbortController();
      stops.push(stop);
      const options = { client: lease.as(name), name: 'l', identity: name, durationSeconds: SECONDS };
      const ended = whileLeading(
        { ...options, logger: createLogger('test', 'silent') },
        stop.signal,
        async (signal) => {
          leading.add(name);
          history.push(name);
          most.atOnce = Math.max(most.atOnce, leading.size);
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
          leading.delete(name);
        },
      );
      return [name, { stop, ended }];
    }),
  );
  return { leading, history, most, controllers };
}

test('one whose renewals are not answered steps down before another leads', async () => {
  const lease = new OneLease();
  const { leading, history, most } = candidates(lease, 'a', 'b');
  await vi.waitFor(() => expect(leading.size).toBe(1));
  const [first = ''] = leading;
  lease.hung.add(first);
  await vi.waitFor(() => expect(history.length).toBe(2), 5000);
  expect(history[1]).not.toBe(first);
  expect(most.atOnce).toBe(1);
});

test('one leads; when it stops another takes over at once', async () => {
  const lease = new OneLease();
  const { leading, history, most, controllers } = candidates(lease, 'a', 'b', 'c');
  await vi.waitFor(() => expect(leading.size).toBe(1));
  const [first = ''] = leading;
  controllers[first]?.stop.abort();
  await controllers[first]?.ended;
  await vi.waitFor(() => expect(history.length).toBe(2));
  expect(history[1]).not.toBe(first);
  expect(most.atOnce).toBe(1);
  expect(lease.lease?.spec?.leaseTransitions).toBeGreaterThan(0);
});

test('a leader that cannot renew stops its work before another one begins', async () => {
  const lease = new OneLease();
  const { leading, history, most } = candidates(lease, 'a', 'b');
  await vi.waitFor(() => expect(leading.size).toBe(1));
  const [first = ''] = leading;
  lease.cut.add(first);
  await vi.waitFor(() => expect(history.length).toBe(2), { timeout: 5000 });
  expect([...leading]).toEqual([first === 'a' ? 'b' : 'a']);
  expect(most.atOnce).toBe(1);
});

test('a lease that another one renews is respected, whatever the clocks say', async () => {
  const lease = new OneLease();
  const other = lease.as('other');
  const spec = { holderIdentity: 'other', renewTime: '2001-01-01T00:00:00.000000Z' };
  await other.create({ apiVersion: '', plural: '' }, { metadata: { name: 'l' }, spec } as Lease);
  const { leading } = candidates(lease, 'a');
  for (let i = 0; i < 12; i++) {
    await sleep((SECONDS * 1000) / 6);
    const now = await other.get<Lease>();
    await other.replace({ apiVersion: '', plural: '' }, now);
    expect(leading.size).toBe(0);
  }
  await vi.waitFor(() => expect(leading.size).toBe(1), { timeout: 5000 });
});
