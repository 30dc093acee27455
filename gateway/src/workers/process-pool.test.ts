import { fileURLToPath } from 'node:url';
import { WorkerRegistryServiceService } from '@jsigr/proto';
import { createLogger, type WorkerKindName } from '@jsigr/service';
import { describe, expect, test } from 'vitest';
import { startTestServer } from '../testing/grpc-server.ts';
import { type PoolTestOptions, type PoolUnderTest, workerPoolSuite } from './pool.suite.ts';
import { checkEntries, ProcessPool } from './process-pool.ts';
import { WorkerRegistry } from './registry.ts';
import { threadPlan } from './threads.ts';

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}.ts`, import.meta.url));

async function makePool({ program, idleMs, leaseMs, startMs }: PoolTestOptions): Promise<PoolUnderTest> {
  let token = 0;
  const registry = new WorkerRegistry({ leaseMs, nextToken: async () => ++token });
  const server = await startTestServer(WorkerRegistryServiceService, {
    registerWorker: (request) => registry.register(request),
    renewLease: (request) => registry.renew(request),
    deregisterWorker: (request) => {
      registry.deregister(request);
      return {};
    },
  });
  const pids = new Map<string, number>();
  const logger = createLogger('test', 'silent');
  const pool = new ProcessPool({
    registry,
    gatewayAddress: () => server.address,
    artefacts: '/nowhere',
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
    kill: (id) => signal(id, 'SIGKILL'),
    freeze: (id) => signal(id, 'SIGSTOP'),
    async close() {
      await pool.close();
      registry.close();
      await server.close();
    },
  };
}

workerPoolSuite(makePool);

describe('processes', () => {
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
