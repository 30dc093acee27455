import { AttackerServiceService } from '@jsigr/proto';
import type { WorkerDefinition } from '@jsigr/service';
import { attackerModule } from './attacker.module.ts';

/** The attacker as a worker: what `main.ts` runs, and what tests start within their process. */
export const attackerWorker: WorkerDefinition = {
  kind: 'attacker',
  module: attackerModule,
  services: { 'jsigr.v1.AttackerService': AttackerServiceService },
  // The engine is the compute thread's; this one loads it only where somebody wants to know.
  describeDevice: async (compute) => (await import('@jsigr/engine')).describeDevice(compute),
};
