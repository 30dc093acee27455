import type { WorkerRegistry } from '../workers/registry.ts';
import type { Datasets } from './datasets.ts';
import type { Evaluations } from './evaluations.ts';
import type { Explanations } from './explanations.ts';
import type { Maintenance } from './maintenance.ts';
import type { Models } from './models.ts';
import type { Scaler } from './scaler.ts';
import type { TrainingRuns } from './training-runs.ts';

/** What both faces of the gateway are made of. */
export interface Application {
  readonly trainingRuns: TrainingRuns;
  readonly evaluations: Evaluations;
  readonly explanations: Explanations;
  readonly models: Models;
  readonly datasets: Datasets;
  readonly maintenance: Maintenance;
  readonly registry: WorkerRegistry;
  readonly scaler: Scaler;
}

/** Token under which the application is injected. */
export const APPLICATION = Symbol('application');
