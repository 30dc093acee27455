import { expect, test, vi } from 'vitest';
import { Condition } from './condition.ts';

test('a condition that holds is not waited for', async () => {
  expect(await new Condition().until(() => true)).toBe(true);
});

test('a condition is looked at again after each notification', async () => {
  const condition = new Condition();
  let count = 0;
  const waiting = condition.until(() => count >= 2);
  count = 1;
  condition.notify();
  count = 2;
  condition.notify();
  expect(await waiting).toBe(true);
});

test('waiting ends with false at the timeout', async () => {
  vi.useFakeTimers();
  const waiting = new Condition().until(() => false, { timeoutMs: 1000 });
  await vi.advanceTimersByTimeAsync(1000);
  expect(await waiting).toBe(false);
  vi.useRealTimers();
});

test('waiting ends with the reason of an aborted signal', async () => {
  const controller = new AbortController();
  const waiting = new Condition().until(() => false, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});
