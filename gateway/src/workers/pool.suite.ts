import { afterEach, describe, expect, test, vi } from 'vitest';
import type { WorkerPool } from './pool.ts';

/** What an attempt to start a worker ends in. */
export type Program = 'healthy' | 'crashing' | 'silent';

export interface PoolUnderTest {
  readonly pool: WorkerPool;
  /** Processes of workers that live, whether the pool knows them or not. */
  alive(): number;
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

/** What differs from pool to pool. */
export interface PoolWords {
  /** What became of a worker that was killed. */
  readonly killed: RegExp;
  /** Why the program `crashing` did not become a worker. */
  readonly crashed: RegExp;
}

export const USUAL: PoolTestOptions = { program: 'healthy', idleMs: 600_000, leaseMs: 30_000, startMs: 60_000 };
export const WAIT = { timeout: 30_000, interval: 20 };

/** What every worker pool does. */
export function workerPoolSuite(
  makePool: (options: PoolTestOptions) => Promise<PoolUnderTest>,
  words: PoolWords,
): void {
  let made: PoolUnderTest | undefined;
  const make = async (options: Partial<PoolTestOptions> = {}) => {
    made = await makePool({ ...USUAL, ...options });
    return made;
  };
  const options = { run: 'trainingRuns/test' };
  afterEach(async () => {
    await made?.close();
    made = undefined;
  });

  describe('a worker pool', () => {
    test('is empty at rest, starts workers on demand, and gives each to one user', async () => {
      const { pool } = await make();
      expect(pool.list()).toEqual([]);
      const runs = ['trainingRuns/one', 'trainingRuns/two'];
      const [first, second] = await Promise.all(runs.map((run) => pool.acquire('trainer', { run })));
      if (!first || !second) throw new Error('no workers');
      expect(first.id).not.toBe(second.id);
      expect(first.address).toMatch(/^127\.0\.0\.1:\d+$/);
      await pool.release(second, { discard: true });
      expect(pool.list()).toEqual([{ id: first.id, kind: 'trainer', address: first.address, users: 1 }]);
    });

    test('a pool that is closed gives out no workers, and whoever waits is told so', async () => {
      const { pool, alive } = await make({ program: 'silent' });
      const waiting = pool.acquire('trainer', options);
      waiting.catch(() => undefined);
      await vi.waitFor(() => expect(alive()).toBe(1), WAIT);
      await pool.close();
      await expect(waiting).rejects.toMatchObject({ code: 14 });
      expect(pool.list()).toEqual([]);
      await expect(pool.acquire('trainer', options)).rejects.toMatchObject({ reason: 'WORKER_POOL_CLOSED' });
      await expect(pool.acquire('explainer', options)).rejects.toMatchObject({ reason: 'WORKER_POOL_CLOSED' });
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
      expect(pool.list().map(({ kind, users }) => [kind, users])).toEqual([['explainer', 3]]);
    });

    test('ends a worker that nobody uses', async () => {
      const { pool, alive } = await make({ idleMs: 10, leaseMs: 1500 });
      const worker = await pool.acquire('trainer', options);
      await pool.release(worker);
      await vi.waitFor(() => expect([pool.list(), alive()]).toEqual([[], 0]), WAIT);
    });

    test('says what became of a worker that was killed, and starts another', async () => {
      const { pool, kill } = await make();
      const worker = await pool.acquire('trainer', options);
      kill(worker.id);
      expect(await worker.lost).toMatch(words.killed);
      expect(pool.list()).toEqual([]);
      await pool.release(worker);
      const next = await pool.acquire('trainer', options);
      expect(next.id).not.toBe(worker.id);
      expect(next.fencingToken).toBeGreaterThan(worker.fencingToken);
    });

    test('lets go of a worker that does not renew its lease', async () => {
      const { pool, freeze } = await make({ leaseMs: 1500 });
      const worker = await pool.acquire('trainer', options);
      freeze(worker.id);
      expect(await worker.lost).toMatch(/did not renew its lease for 1.5 s/);
      await vi.waitFor(() => expect(pool.list()).toEqual([]), WAIT);
    });

    test('says why a worker cannot start', async () => {
      const { pool, alive } = await make({ program: 'crashing' });
      await expect(pool.acquire('trainer', options)).rejects.toMatchObject({
        reason: 'WORKER_START_FAILED',
        message: expect.stringMatching(words.crashed),
      });
      expect(pool.list()).toEqual([]);
      await vi.waitFor(() => expect(alive()).toBe(0), WAIT);
    });

    test('gives up starting a worker when nobody wants it any more', async () => {
      const { pool, alive } = await make({ program: 'silent' });
      const controller = new AbortController();
      const acquiring = pool.acquire('trainer', { ...options, signal: controller.signal });
      acquiring.catch(() => undefined);
      await vi.waitFor(() => expect(alive()).toBe(1), WAIT);
      controller.abort(new DOMException('cancelled', 'AbortError'));
      await expect(acquiring).rejects.toThrow('cancelled');
      await vi.waitFor(() => expect([pool.list(), alive()]).toEqual([[], 0]), WAIT);
    });

    test('a worker that is discarded ends', async () => {
      const { pool, alive } = await make();
      await pool.release(await pool.acquire('trainer', options), { discard: true });
      expect(pool.list()).toEqual([]);
      await vi.waitFor(() => expect(alive()).toBe(0), WAIT);
    });
  });
}
