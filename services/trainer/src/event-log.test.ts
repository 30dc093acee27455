import { RunState, type WatchTrainingResponse } from '@jsigr/proto';
import { expect, test } from 'vitest';
import { EventLog } from './event-log.ts';

const never = new AbortController().signal;
const outcome = { state: RunState.RUN_STATE_SUCCEEDED, reason: 'done', bestModel: '', retryable: false };

function saved(model: string) {
  return { $case: 'checkpointSaved' as const, value: { model, step: 1, epoch: 1, heldOutAccuracy: 1 } };
}

async function collect(source: AsyncIterable<WatchTrainingResponse>): Promise<(number | string)[]> {
  const seen: (number | string)[] = [];
  for await (const { event, outcome } of source) seen.push(event?.sequence ?? outcome?.reason ?? '?');
  return seen;
}

test('a watcher gets the events of before and those to come, in order, then the outcome', async () => {
  const log = new EventLog();
  log.append(saved('a'));
  const watching = collect(log.watch(0, never));
  log.append(saved('b'));
  log.close(outcome);
  expect(await watching).toEqual([1, 2, 'done']);
});

test('a watcher that comes back goes on where it was', async () => {
  const log = new EventLog();
  for (const model of ['a', 'b', 'c']) log.append(saved(model));
  log.close(outcome);
  expect(await collect(log.watch(2, never))).toEqual([3, 'done']);
  expect(await collect(log.watch(3, never))).toEqual(['done']);
});

test('progress that was told is forgotten once it is older than the last 1,000 events; all else stays, under its number', async () => {
  const log = new EventLog();
  const progress = { step: 1, totalSteps: 9, metrics: [], imagesPerSecond: 1, secondsLeft: 1 };
  const advance = (count: number) => {
    for (let i = 0; i < count; i++) log.append({ $case: 'trainingProgress', value: progress });
  };
  log.append(saved('a'));
  advance(1999);
  log.append(saved('b'));
  advance(999);
  // 3000 events that nobody has seen: all of them are there
  const watching = log.watch(0, never);
  for (let sequence = 1; sequence <= 2500; sequence++)
    expect((await watching.next()).value?.event?.sequence).toBe(sequence);
  log.append(saved('c'));
  log.close(outcome);
  const newest = Array.from({ length: 1000 }, (_, i) => 2002 + i);
  expect(await collect(log.watch(0, never))).toEqual([1, 2001, ...newest, 'done']);
  expect(await collect(log.watch(2998, never))).toEqual([2999, 3000, 3001, 'done']);
  expect(await collect(watching)).toEqual([...newest.filter((sequence) => sequence > 2500), 'done']);
});

test('the first outcome counts', () => {
  const log = new EventLog();
  log.close(outcome);
  log.close({ ...outcome, reason: 'another' });
  expect(log.outcome?.reason).toBe('done');
});

test('watching ends with its signal', async () => {
  const controller = new AbortController();
  const watching = collect(new EventLog().watch(0, controller.signal));
  controller.abort(new Error('gone'));
  await expect(watching).rejects.toThrow('gone');
});
