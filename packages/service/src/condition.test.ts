import { expect, test, vi } from 'vitest';
import { Condition } from './condition.ts';
import { Lru } from './lru.ts';
import { settingsFromText } from './settings.ts';

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

test('an LRU keeps what was used last', () => {
  const evicted: number[] = [];
  const lru = new Lru<number>(2, (value) => evicted.push(value));
  lru.set('a', 1);
  lru.set('b', 2);
  lru.get('a');
  lru.set('c', 3);
  expect([lru.get('a'), lru.get('b'), lru.get('c'), evicted]).toEqual([1, undefined, 3, [2]]);
});

test('settings that came as text get their types', () => {
  expect(settingsFromText({ steps: '10', loss: 'margin', randomStart: 'false', stepSize: '1e-2', empty: '' })).toEqual({
    steps: 10,
    loss: 'margin',
    randomStart: false,
    stepSize: 0.01,
    empty: '',
  });
});
