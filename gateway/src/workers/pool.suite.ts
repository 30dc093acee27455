import type { WorkerKindName } from '@jsigr/service';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { WorkerPool } from './pool.ts';

/** What an attempt to start a worker ends in. */
export type Program = 'healthy' | 'crashing' | 'silent';

export interface PoolUnderTest {
  readonly pool: WorkerPool;
  /** Ends a worker from outside, as `kill -9` does; it says nothing any more. */
  kill(workerId: string): void;
  /** Stops a worker from answering, without ending it. */
  freeze(workerId: string): void;
  /** The pool and what it needs. */
  close(): Promise<void>;
}

export interface PoolTestOptions {
  /** What the pool finds when it starts workers. */
  readonly program: Program;
  readonly idleMs: number;
  readonly leaseMs: number;
  readonly startMs: number;
}

const USUAL: PoolTestOptions = { program: 'healthy', idleMs: 600_000, leaseMs: 30_000, startMs: 60_000 };
const WAIT = { timeout: 30_000, interval: 20 };

/** What every worker pool does. */
export function workerPoolSuite(makePool: (options: PoolTestOptions) => Promise<PoolUnderTest>): void {
  let made: PoolUnderTest | undefined;
  const make = async (options: Partial<PoolTestOptions> = {}) => {
    made = await makePool({ ...USUAL, ...options });
    return made;
  };
  const options = { run: 'trainingRuns/test' };
  const kinds = (pool: WorkerPool): WorkerKindName[] => pool.list().map(({ kind }) => kind);
  afterEach(async () => {
    await made?.close();
    made = undefined;
  });

  describe('a worker pool', () => {
    test('is empty at rest, starts workers on demand, gives each to one user, and keeps them for the next', async () => {
      const { pool } = await make();
      expect(pool.list()).toEqual([]);
      const [first, second] = await Promise.all([pool.acquire('trainer', options), pool.acquire('trainer', options)]);
      expect(first.id).not.toBe(second.id);
      expect(first.address).toMatch(/^127\.0\.0\.1:\d+$/);
      await pool.release(first);
      expect((await pool.acquire('trainer', options)).id).toBe(first.id);
      await pool.release(second, { discard: true });
      expect(pool.list()).toEqual([{ id: first.id, kind: 'trainer', address: first.address, users: 1 }]);
      await pool.close();
      expect(pool.list()).toEqual([]);
      expect(await first.lost).toMatch(/^the trainer \(process \d+\) /);
      await expect(pool.acquire('trainer', options)).rejects.toMatchObject({ reason: 'WORKER_POOL_CLOSED' });
    });

    test('shares one explainer among as many requests as it takes; the next one waits for room', async () => {
      const { pool } = await make();
      const workers = await Promise.all([1, 2, 3].map(() => pool.acquire('explainer', options)));
      expect(new Set(workers.map(({ id }) => id)).size).toBe(1);
      const impatient = pool.acquire('explainer', { ...options, signal: AbortSignal.timeout(50) });
      await expect(impatient).rejects.toThrow(/timeout/);
      const fourth = pool.acquire('explainer', options);
      const [given] = workers;
      if (given) await pool.release(given);
      expect((await fourth).id).toBe(given?.id);
      expect(kinds(pool)).toEqual(['explainer']);
    });

    test('stops a worker that nobody uses', async () => {
      const { pool } = await make({ idleMs: 10 });
      const worker = await pool.acquire('trainer', options);
      await pool.release(worker);
      await vi.waitFor(() => expect(pool.list()).toEqual([]), WAIT);
    });

    test('says what became of a worker that was killed, and starts another', async () => {
      const { pool, kill } = await make();
      const worker = await pool.acquire('trainer', options);
      kill(worker.id);
      expect(await worker.lost).toMatch(/was killed by SIGKILL/);
      await pool.release(worker);
      const next = await pool.acquire('trainer', options);
      expect(next.id).not.toBe(worker.id);
    });

    test('lets go of a worker that does not renew its lease', async () => {
      const { pool, freeze } = await make({ leaseMs: 1500 });
      const worker = await pool.acquire('trainer', options);
      freeze(worker.id);
      expect(await worker.lost).toMatch(/did not renew its lease for 1.5 s/);
      await vi.waitFor(() => expect(pool.list()).toEqual([]), WAIT);
    });

    test('says why a worker cannot start', async () => {
      const { pool } = await make({ program: 'crashing' });
      await expect(pool.acquire('trainer', options)).rejects.toMatchObject({
        reason: 'WORKER_START_FAILED',
        message: 'the trainer did not start: it ended with exit code 3; it said: no such engine',
      });
      expect(pool.list()).toEqual([]);
    });

    test('gives up a worker that does not register in time', async () => {
      const { pool } = await make({ program: 'silent', startMs: 100 });
      await expect(pool.acquire('trainer', options)).rejects.toThrow('it did not register within 0.1 s');
      expect(pool.list()).toEqual([]);
    });

    test('goes on starting an explainer that an impatient request asked for', async () => {
      const { pool } = await make();
      await expect(pool.acquire('explainer', { ...options, signal: AbortSignal.timeout(1) })).rejects.toThrow(
        /timeout/,
      );
      const [starting] = pool.list();
      expect((await pool.acquire('explainer', options)).id).toBe(starting?.id);
    });

    test('gives up starting a worker when nobody wants it any more', async () => {
      const { pool } = await make({ program: 'silent' });
      const controller = new AbortController();
      const acquiring = pool.acquire('trainer', { ...options, signal: controller.signal });
      await vi.waitFor(() => expect(kinds(pool)).toEqual(['trainer']), WAIT);
      controller.abort(new DOMException('cancelled', 'AbortError'));
      await expect(acquiring).rejects.toThrow('cancelled');
      await vi.waitFor(() => expect(pool.list()).toEqual([]), WAIT);
    });
  });
}
