import type { ArtefactStore, Logger } from '@jsigr/service';
import type { Datasets } from '../application/datasets.ts';
import type { Models } from '../application/models.ts';
import type { RunStore } from '../store/runs.ts';
import type { WorkerCredentials } from '../workers/credentials.ts';
import type { WorkerPool } from '../workers/pool.ts';
import type { ThreadPlan } from '../workers/threads.ts';

/** What conducting a run takes. */
export interface Means {
  readonly runs: RunStore;
  readonly models: Models;
  readonly datasets: Datasets;
  readonly artefacts: ArtefactStore;
  readonly pool: WorkerPool;
  readonly credentials: WorkerCredentials;
  readonly threads: ThreadPlan;
  /** How often a run is begun again without having come further since. */
  readonly retries: number;
  /** How long a training waits for its attacker to begin with it, in milliseconds: one that comes later takes up the newest checkpoint. */
  readonly togetherMs: number;
  /** Aborted when the gateway stops, or the run is suspended: what is going on is handed back. */
  readonly closing: AbortSignal;
  /** The gateway stops, and leaves trainers at work to the next one. */
  readonly leaves: () => boolean;
  /** Fencing tokens: each larger than all before. */
  readonly nextToken: () => Promise<number>;
  readonly logger: Logger;
}
