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
