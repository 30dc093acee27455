import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Proportion, RobustnessReport } from '@jsigr/proto';
import {
  type ArtefactStore,
  createLogger,
  directoryArtefactStore,
  Load,
  type WorkerContext,
  WorkerDoor,
} from '@jsigr/service';

/** What the trainer's tests share: a context in a temporary folder, and reports as an attacker would make them. */
export async function temporaryContext(): Promise<{
  context: WorkerContext;
  artefacts: ArtefactStore;
  end: () => Promise<void>;
}> {
  const root = await mkdtemp(join(tmpdir(), 'jsigr-trainer-'));
  const artefacts = directoryArtefactStore(root);
  const stopping = new AbortController();
  const context = {
    artefacts,
    logger: createLogger('test', 'silent'),
    compute: { threads: 1 },
    signal: stopping.signal,
    load: new Load(),
    stateMs: 60_000,
    silenceMs: 0,
    fencingToken: () => undefined,
    onDrain: () => {},
    door: new WorkerDoor('a-token-of-this-worker'),
  };
  return {
    context,
    artefacts,
    end: async () => {
      stopping.abort();
      await rm(root, { recursive: true, force: true });
    },
  };
}

export function share(successes: number, trials: number): Proportion {
  const value = successes / trials;
  return Proportion.fromPartial({
    successes,
    trials,
    value,
    lower: Math.max(0, value - 0.1),
    upper: Math.min(1, value + 0.1),
  });
}

/** A report on a model with transferred robust accuracies by epsilon. */
export function reportOf(model: string, transferred: Readonly<Record<string, Proportion>>): RobustnessReport {
  return RobustnessReport.fromPartial({
    model,
    cleanAccuracy: share(9, 10),
    epsilons: Object.entries(transferred).map(([epsilon, proportion]) => ({
      norm: 'linf',
      epsilon: Number(epsilon),
      transferred: proportion,
    })),
  });
}
