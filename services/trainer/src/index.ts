import { TrainerServiceService } from '@jsigr/proto';
import type { WorkerDefinition } from '@jsigr/service';
import { trainerModule } from './trainer.module.ts';

/** The trainer as a worker: what `main.ts` runs, and what tests start within their process. */
export const trainerWorker: WorkerDefinition = {
  kind: 'trainer',
  module: trainerModule,
  services: { 'jsigr.v1.TrainerService': TrainerServiceService },
  // The engine is the compute thread's; this one loads it only where somebody wants to know.
  describeDevice: async (compute) => (await import('@jsigr/engine')).describeDevice(compute),
};
