import type { ArtefactStore, Logger } from '@jsigr/service';
import type { Application } from './application/application.ts';
import { Datasets } from './application/datasets.ts';
import { Evaluations } from './application/evaluations.ts';
import { Explanations } from './application/explanations.ts';
import { Models } from './application/models.ts';
import { TrainingRuns } from './application/training-runs.ts';
import { Conductor } from './conductor/conductor.ts';
import type { Store } from './store/store.ts';
import type { WorkerPool } from './workers/pool.ts';
import type { WorkerRegistry } from './workers/registry.ts';
import { threadPlan } from './workers/threads.ts';

export interface Parts {
  readonly store: Store;
  readonly artefacts: ArtefactStore;
  readonly registry: WorkerRegistry;
  readonly pool: WorkerPool;
  /** Cores for all workers together. */
  readonly cores: number;
  readonly trainingsAtOnce: number;
  readonly logger: Logger;
}

/** A gateway without its faces. */
export function assemble({ store, artefacts, registry, pool, cores, trainingsAtOnce, logger }: Parts): {
  readonly application: Application;
  readonly conductor: Conductor;
} {
  const models = new Models(store.models, artefacts);
  const datasets = new Datasets(store.datasets, artefacts);
  const threads = threadPlan(cores);
  const means = { runs: store.runs, models, datasets, artefacts, pool, threads, logger };
  const conductor = new Conductor(means, { trainings: trainingsAtOnce, evaluations: 1 });
  const application = {
    trainingRuns: new TrainingRuns(store.runs, datasets, models, conductor),
    evaluations: new Evaluations(store.runs, datasets, models, conductor),
    explanations: new Explanations({ models, datasets, artefacts, pool, threads: threads.explainer }),
    models,
    datasets,
    registry,
  };
  return { application, conductor };
}
