import type { ArtefactStore, Logger } from '@jsigr/service';
import type { Audit } from './access/audit.ts';
import type { TenantLimits } from './access/limits.ts';
import type { Application } from './application/application.ts';
import { Datasets } from './application/datasets.ts';
import { Evaluations } from './application/evaluations.ts';
import { Explanations } from './application/explanations.ts';
import { Maintenance } from './application/maintenance.ts';
import { Models } from './application/models.ts';
import { type Demand, Scaler } from './application/scaler.ts';
import { TrainingRuns } from './application/training-runs.ts';
import { Conductor } from './conductor/conductor.ts';
import { FENCING_TOKENS, type Store } from './store/store.ts';
import type { WorkerCredentials } from './workers/credentials.ts';
import type { WorkerPool } from './workers/pool.ts';
import type { WorkerRegistry } from './workers/registry.ts';
import { threadPlan } from './workers/threads.ts';

export interface Parts {
  readonly store: Store;
  readonly artefacts: ArtefactStore;
  readonly registry: WorkerRegistry;
  readonly pool: WorkerPool;
  readonly credentials: WorkerCredentials;
  readonly audit: Audit;
  readonly limits: TenantLimits;
  /** Of explainers, where somebody else starts them. */
  readonly demand?: Demand;
  /** Cores for all workers together. */
  readonly cores: number;
  readonly trainingsAtOnce: number;
  readonly evaluationsAtOnce: number;
  /** How often a run is begun again without having come further since. */
  readonly retries: number;
  /** How long a stop waits for workers to hand their runs back, in milliseconds. */
  readonly graceMs?: number;
  readonly togetherMs?: number;
  /** Private networks in which live endpoints may be asked. */
  readonly endpointNetworks?: readonly string[];
  readonly logger: Logger;
}

/** A gateway without its faces. */
export function assemble(parts: Parts): {
  readonly application: Application;
  readonly conductor: Conductor;
} {
  const {
    store,
    artefacts,
    registry,
    pool,
    credentials,
    audit,
    limits,
    demand,
    cores,
    trainingsAtOnce,
    evaluationsAtOnce,
    retries,
    graceMs,
    togetherMs,
    endpointNetworks = [],
    logger,
  } = parts;
  const models = new Models(store.models, artefacts, { audit, limits, endpointNetworks });
  const datasets = new Datasets(store.datasets, artefacts, { audit, limits });
  const threads = threadPlan(cores);
  const nextToken = () => store.next(FENCING_TOKENS);
  const means = {
    runs: store.runs,
    models,
    datasets,
    artefacts,
    pool,
    credentials,
    threads,
    retries,
    nextToken,
    logger,
  };
  const conductor = new Conductor(means, {
    trainings: trainingsAtOnce,
    evaluations: evaluationsAtOnce,
    ...(graceMs === undefined ? {} : { graceMs }),
    ...(togetherMs === undefined ? {} : { togetherMs }),
  });
  const runMeans = { runs: store.runs, datasets, models, conductor, audit, limits };
  const application = {
    trainingRuns: new TrainingRuns(runMeans),
    evaluations: new Evaluations(runMeans, artefacts),
    explanations: new Explanations({ models, datasets, artefacts, pool, limits, threads: threads.explainer }),
    models,
    datasets,
    maintenance: new Maintenance(store.retention, artefacts, audit),
    registry,
    scaler: new Scaler(demand),
  };
  return { application, conductor };
}
