import { RunState } from '@jsigr/proto';
import { expect, test } from 'vitest';
import { deferred } from '../deferred.ts';
import type { RunStore, StoredRun } from '../store/runs.ts';
import { Journal } from './journal.ts';

const run = { id: 'a', state: RunState.RUN_STATE_QUEUED } as StoredRun;

test.each([
  ['that it runs', (journal: Journal) => journal.running()],
  ['that it is handed back', (journal: Journal) => journal.handBack('stopped')],
  ['that it has ended', (journal: Journal) => journal.ended(RunState.RUN_STATE_FAILED, 'why')],
])('what a run waits for is not written after %s, however slow the database is', async (_, next) => {
  const slow = deferred<void>();
  const written: RunState[] = [];
  const runs = {
    transition: async (__: string, state: RunState) => {
      if (state === RunState.RUN_STATE_STARTING) await slow.promise;
      written.push(state);
      return run;
    },
  } as unknown as RunStore;
  const logger = { info: () => {}, error: () => {} };
  const journal = new Journal({ runs, artefacts: {} as never, logger: logger as never }, run);
  journal.waiting('attacker')('no node takes its pod');
  const done = next(journal);
  await new Promise((resolve) => setImmediate(resolve));
  slow.resolve();
  await done;
  expect(written).toHaveLength(2);
  expect(written[0]).toBe(RunState.RUN_STATE_STARTING);
});
