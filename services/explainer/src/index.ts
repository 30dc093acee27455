import { ExplainerServiceService } from '@jsigr/proto';
import type { WorkerDefinition } from '@jsigr/service';
import { explainerModule } from './explainer.module.ts';
import { CAPACITY } from './methods.ts';

/** The explainer as a worker: what `main.ts` runs, and what tests start within their process. */
export const explainerWorker: WorkerDefinition = {
  kind: 'explainer',
  module: explainerModule,
  services: { 'jsigr.v1.ExplainerService': ExplainerServiceService },
  capacity: CAPACITY,
  // The engine is the compute thread's; this one loads it only where somebody wants to know.
  describeDevice: async (compute) => (await import('@jsigr/engine')).describeDevice(compute),
};
