import { RunEvent, RunState } from '@jsigr/proto';
import { unavailable } from '@jsigr/service';
import { describe, expect, test } from 'vitest';
import { RunChanges } from './run-changes.ts';
import { RunFeeds } from './run-feed.ts';

const never = new AbortController().signal;

/** A run's events in memory, and how often they were read. */
class Run {
  readonly changes = new RunChanges();
  readonly events: RunEvent[] = [];
  /** How many events each read gave. */
  readonly reads: number[] = [];
  /** What a read does before it answers. */
  reading: () => void = () => {};
  readonly feeds = new RunFeeds(this.changes, async (_, after) => {
    this.reading();
    const found = this.events.slice(after);
    this.reads.push(found.length);
    return found;
  });

  write(state: RunState = RunState.RUN_STATE_RUNNING, reason = ''): void {
    const payload = { $case: 'stateChanged', value: { state, reason } } as const;
    this.events.push({ ...RunEvent.fromPartial({ sequence: this.events.length + 1 }), payload });
  }

  tell(): void {
    this.changes.note('run', this.events.length);
  }

  follow(after: number): AsyncGenerator<RunEvent> {
    return this.feeds.follow('run', after, never);
  }
}

async function sequences(events: AsyncIterable<RunEvent>): Promise<number[]> {
  const found: number[] = [];
  for await (const { sequence } of events) found.push(sequence);
  return found;
}

describe('the feed of a run', () => {
  test('reads an event once, however many follow, and ends with the run', async () => {
    const run = new Run();
    const following = Array.from({ length: 50 }, () => sequences(run.follow(0)));
    for (const state of [RunState.RUN_STATE_RUNNING, RunState.RUN_STATE_RUNNING, RunState.RUN_STATE_SUCCEEDED]) {
      run.write(state);
      run.tell();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(new Set((await Promise.all(following)).map(String))).toEqual(new Set(['1,2,3']));
    expect(run.reads.filter((count) => count > 0)).toEqual([1, 1, 1]);
  });

  test('gives a later follower what it asks for, as far as it is kept', async () => {
    const run = new Run();
    const first = run.follow(0);
    run.write();
    run.write();
    run.tell();
    await first.next();
    const second = run.follow(1);
    expect((await second.next()).value).toMatchObject({ sequence: 2 });
    // What came before the feed began is not in it.
    run.write();
    run.tell();
    const third = run.follow(2);
    expect((await third.next()).value).toMatchObject({ sequence: 3 });
    await Promise.all([first, second, third].map((each) => each.return(undefined)));
  });

  test('lets go who is far behind, and keeps little: so many events, so many bytes', async () => {
    for (const [events, reason] of [
      [1000, ''],
      [20, 'long'.repeat(50_000)],
    ] as const) {
      const run = new Run();
      const slow = run.follow(0);
      run.write();
      run.tell();
      expect((await slow.next()).value).toMatchObject({ sequence: 1 });
      const fast = sequences(run.follow(1));
      for (let i = 0; i < events; i++) run.write(RunState.RUN_STATE_RUNNING, reason);
      run.write(RunState.RUN_STATE_FAILED);
      run.tell();
      const caught = await fast;
      expect(await slow.next()).toEqual({ done: true, value: undefined });
      // One that was let go itself may have had a part, but nothing twice and nothing out of order.
      expect(caught).toEqual(caught.map((_, i) => 2 + i));
    }
  });

  test('that cannot be read says so to all, and is made anew for whoever comes again', async () => {
    const run = new Run();
    run.reading = () => {
      throw unavailable('DATABASE_UNAVAILABLE', 'gone');
    };
    const following = [run.follow(0), run.follow(0)].map((each) => each.next());
    for (const each of following) await expect(each).rejects.toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
    run.reading = () => {};
    run.write();
    expect((await run.follow(0).next()).value).toMatchObject({ sequence: 1 });
  });

  test('misses nothing that was written while it looked and never told of', async () => {
    const run = new Run();
    let looks = 0;
    run.reading = () => {
      looks++;
      // The listening connection breaks just after the database answered that there is nothing, and is made again.
      if (looks === 1)
        queueMicrotask(() => {
          run.write();
          run.changes.noteGap();
        });
    };
    expect((await run.follow(0).next()).value).toMatchObject({ sequence: 1 });
  });

  test('ends with its last follower', async () => {
    const run = new Run();
    const controller = new AbortController();
    const following = run.feeds.follow('run', 0, controller.signal).next();
    controller.abort(new DOMException('gone', 'AbortError'));
    await expect(following).rejects.toThrow('gone');
    const reads = run.reads.length;
    run.write();
    run.tell();
    await new Promise((resolve) => setImmediate(resolve));
    expect(run.reads.length).toBe(reads);
  });
});
