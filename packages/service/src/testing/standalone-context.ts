import { directoryArtefactStore } from '../directory-artefacts.ts';
import type { Logger } from '../logging.ts';
import { Load, type WorkerContext } from '../worker.ts';
import { WorkerDoor } from '../worker-door.ts';

/** What a worker's service runs in that no gateway has started: on one thread, in a folder of artefacts. */
export function standaloneContext(artefacts: string, logger: Logger): WorkerContext {
  return {
    artefacts: directoryArtefactStore(artefacts),
    logger,
    compute: { threads: 1 },
    signal: new AbortController().signal,
    load: new Load(),
    door: new WorkerDoor(''),
    stateMs: 60_000,
    silenceMs: 0,
    fencingToken: () => undefined,
    onDrain: () => {},
  };
}
