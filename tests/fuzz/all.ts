import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attackerWorker } from '@jsigr/attacker';
import { explainerWorker } from '@jsigr/explainer';
import { servedGateway } from '@jsigr/gateway/testing';
import { createLogger, startGrpcServer } from '@jsigr/service';
import { standaloneContext } from '@jsigr/service/testing';
import { trainerWorker } from '@jsigr/trainer';
import { grpcTargets, httpTargets } from './calls.ts';
import { parserTargets } from './parsers.ts';
import type { Target } from './target.ts';

const MOST_RUNS = 20;

/** Every method of the gateway and of the workers, every route, every parser. */
export async function allTargets(): Promise<{ targets: Target[]; close: () => Promise<void> }> {
  const gateway = await servedGateway(MOST_RUNS);
  const isRegistry = (name: string) => name.includes('WorkerRegistryService');
  const served = (name: string) => gateway.methods.includes(name);
  const { grpcAddress, names, workerToken } = gateway;
  const folder = mkdtempSync(join(tmpdir(), 'jsigr-fuzz-'));
  const context = standaloneContext(folder, createLogger('fuzz', 'silent'));
  const workers = await Promise.all(
    [trainerWorker, attackerWorker, explainerWorker].map(({ module, services }) =>
      startGrpcServer({ module: module(context), services, host: '127.0.0.1', port: 0 }).then((server) => ({
        server,
        targets: grpcTargets(server.address, (name) => (name.split('/')[0] ?? '') in services, names),
      })),
    ),
  );
  const targets = [
    ...grpcTargets(grpcAddress, (name) => served(name) && !isRegistry(name), names),
    ...grpcTargets(grpcAddress, isRegistry, names, workerToken),
    ...httpTargets(gateway),
    ...workers.flatMap((worker) => worker.targets),
    ...(await parserTargets(folder)),
  ];
  return {
    targets,
    async close() {
      for (const target of targets) target.close?.();
      for (const { server } of workers) await server.close(0);
      await gateway.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
