import type { ArtefactStore, Logger } from '@jsigr/service';
import type { Datasets } from '../application/datasets.ts';
import type { Models } from '../application/models.ts';
import type { RunStore } from '../store/runs.ts';
import type { WorkerPool } from '../workers/pool.ts';
import type { ThreadPlan } from '../workers/threads.ts';

/** What conducting a run takes. */
export interface Means {
  readonly runs: RunStore;
  readonly models: Models;
  readonly datasets: Datasets;
  readonly artefacts: ArtefactStore;
  readonly pool: WorkerPool;
  readonly threads: ThreadPlan;
  readonly logger: Logger;
}
