import { fileURLToPath } from 'node:url';
import { createLogger, type WorkerKindName } from '@jsigr/service';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { startRegistryServer } from '../testing/registry-server.ts';
import { WorkerCredentials } from './credentials.ts';
import { type PoolTestOptions, type PoolUnderTest, USUAL, WAIT, workerPoolSuite } from './pool.suite.ts';
import { checkEntries, ProcessPool } from './process-pool.ts';
import { WorkerRegistry } from './registry.ts';
import { threadPlan } from './threads.ts';

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}.ts`, import.meta.url));

async function makePool({ program, idleMs, leaseMs, startMs }: PoolTestOptions): Promise<PoolUnderTest> {
  let token = 0;
  const registry = new WorkerRegistry({ leaseMs, nextToken: async () => ++token });
  const credentials = new WorkerCredentials(Buffer.alloc(32, 1));
  const server = await startRegistryServer(registry, (token) => credentials.verify(token));
  const pids = new Map<string, number>();
  const logger = createLogger('test', 'silent');
  const pool = new ProcessPool({
    registry,
    credentials,
    gatewayAddress: () => server.address,
    variables: { JSIGR_ARTEFACTS: '/nowhere' },
    entry: (kind: WorkerKindName) => fixture(program === 'healthy' ? kind : program),
    idleMs: { trainer: idleMs, attacker: idleMs, explainer: idleMs },
    logger: Object.assign(logger, {
      info: ({ worker, pid }: { worker: string; pid: number }) => void pids.set(worker, pid),
    }),
    startMs,
  });
  const signal = (id: string, name: NodeJS.Signals) => process.kill(pids.get(id) ?? Number.NaN, name);
  return {
    pool,
    alive: () => [...pids.values()].filter(isAlive).length,
    kill: (id) => signal(id, 'SIGKILL'),
    freeze: (id) => signal(id, 'SIGSTOP'),
    async close() {
      await pool.close();
      registry.close();
      await server.close();
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

workerPoolSuite(makePool, {
  killed: /^the trainer \(process \d+\) was killed by SIGKILL/,
  crashed: /^the trainer did not start: it ended with exit code 3; it said: no such engine$/,
});

describe('processes', () => {
  let made: PoolUnderTest | undefined;
  const make = async (options: Partial<PoolTestOptions> = {}) => {
    made = await makePool({ ...USUAL, ...options });
    return made.pool;
  };
  const options = { run: 'trainingRuns/test' };
  afterEach(async () => {
    await made?.close();
    made = undefined;
  });

  test('are kept for the next run, and end with the pool', async () => {
    const pool = await make();
    const worker = await pool.acquire('trainer', options);
    await pool.release(worker);
    expect((await pool.acquire('trainer', { run: 'trainingRuns/next' })).id).toBe(worker.id);
    await pool.close();
    expect(await worker.lost).toMatch(/^the trainer \(process \d+\) /);
  });

  test('one that does not register in time is given up', async () => {
    const pool = await make({ program: 'silent', startMs: 100 });
    await expect(pool.acquire('trainer', options)).rejects.toThrow('it did not register within 0.1 s');
    expect(pool.list()).toEqual([]);
  });

  test('an explainer that an impatient request asked for goes on starting', async () => {
    const pool = await make();
    const impatient = pool.acquire('explainer', { ...options, signal: AbortSignal.timeout(1) });
    await expect(impatient).rejects.toThrow(/timeout/);
    await vi.waitFor(() => expect(pool.list().length).toBe(1), WAIT);
    const [starting] = pool.list();
    expect((await pool.acquire('explainer', options)).id).toBe(starting?.id);
  });

  test('a program that is not there is said to be missing, with what to do', async () => {
    await expect(checkEntries(() => '/nowhere/main.js')).rejects.toMatchObject({
      reason: 'WORKER_NOT_BUILT',
      hint: 'npm run build',
    });
  });

  // cores -> trainer, trainer in a loop, attacker in a loop, explainer; worked out by hand
  for (const [cores, ...expected] of [
    [1, 1, 1, 1, 1],
    [2, 2, 1, 1, 2],
    [4, 4, 3, 1, 4],
    [8, 8, 6, 2, 4],
    [16, 16, 12, 4, 4],
  ] as const)
    test(`threads on ${cores} cores`, () => {
      const { trainer, trainerInLoop, attackerInLoop, explainer } = threadPlan(cores);
      expect([trainer, trainerInLoop, attackerInLoop, explainer]).toEqual(expected);
    });
});
