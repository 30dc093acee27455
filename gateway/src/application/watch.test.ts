import { type RunEvent, RunState } from '@jsigr/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Store, storeOn } from '../store/store.ts';
import { OPENING_MS, onEachDatabase, tickingClock } from '../store/testing.ts';
import { watchRun } from './watch.ts';

onEachDatabase((database) => {
  let store: Store;
  beforeAll(async () => {
    store = await storeOn(await database.open(), tickingClock());
  }, OPENING_MS);
  afterAll(() => store.close());

  const never = new AbortController().signal;
  const create = async () =>
    ({ kind: 'training', id: (await store.runs.create({ kind: 'training', spec: {} })).id }) as const;
  const step = (id: string, number: number) =>
    store.runs.append(id, {
      $case: 'trainingProgress',
      value: { step: number, totalSteps: 9, metrics: [], imagesPerSecond: 0, secondsLeft: 0 },
    });
  const sequences = (events: readonly RunEvent[]) => events.map(({ sequence }) => sequence);

  async function all(source: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
    const events: RunEvent[] = [];
    for await (const event of source) events.push(event);
    return events;
  }

  describe('watching a run', () => {
    test('replays what was, goes on with what comes, and ends after the final state', async () => {
      const run = await create();
      for (let i = 0; i < 3; i++) await step(run.id, i);
      const watching = watchRun(store.runs, run, 0, never);
      const seen: RunEvent[] = [];
      for (let i = 0; i < 4; i++) seen.push((await watching.next()).value as RunEvent);
      const rest = all(watching);
      for (let i = 3; i < 6; i++) await step(run.id, i);
      await store.runs.transition(run.id, RunState.RUN_STATE_CANCELLED);
      expect(sequences([...seen, ...(await rest)])).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    });

    test('shows every event once, in order, to many who come while it is written', async () => {
      const run = await create();
      const watchers: Promise<RunEvent[]>[] = [];
      for (let i = 0; i < 30; i++) {
        if (i % 5 === 0) watchers.push(all(watchRun(store.runs, run, i, never)));
        await step(run.id, i);
      }
      await store.runs.transition(run.id, RunState.RUN_STATE_FAILED);
      const expected = Array.from({ length: 32 }, (_, i) => i + 1);
      for (const [i, events] of (await Promise.all(watchers)).entries())
        expect(sequences(events)).toEqual(expected.slice(i * 5));
    });

    test('of more events than are read at once shows all', async () => {
      const run = await create();
      for (let i = 0; i < 1001; i++) await step(run.id, i);
      await store.runs.transition(run.id, RunState.RUN_STATE_FAILED);
      expect(sequences(await all(watchRun(store.runs, run, 1, never)))).toEqual(
        Array.from({ length: 1002 }, (_, i) => i + 2),
      );
    });

    test('that is finished ends at once, also after its last event', async () => {
      const run = await create();
      await store.runs.transition(run.id, RunState.RUN_STATE_FAILED);
      expect(sequences(await all(watchRun(store.runs, run, 0, never)))).toEqual([1, 2]);
      expect(await all(watchRun(store.runs, run, 2, never))).toEqual([]);
    });

    test('ends with the signal, and refuses to wait for events that are far ahead', async () => {
      const run = await create();
      const controller = new AbortController();
      const watching = all(watchRun(store.runs, run, 1, controller.signal));
      controller.abort(new DOMException('gone', 'AbortError'));
      await expect(watching).rejects.toThrow('gone');
      for (const sequence of [2, -1, 0.5, Number.NaN])
        await expect(all(watchRun(store.runs, run, sequence, never))).rejects.toThrow(
          `${sequence} given, 0 to 1, the newest event, allowed`,
        );
    });
  });
});
