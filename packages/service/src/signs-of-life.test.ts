import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { watchSigns } from './signs-of-life.ts';

const signs = new Int32Array(new SharedArrayBuffer(4));
let silences: number;
beforeEach(() => {
  silences = 0;
  vi.useFakeTimers();
});
afterEach(() => vi.useRealTimers());

const watch = (deadlineMs: number) => watchSigns(signs, deadlineMs, () => silences++);

test('silence is told once, after the deadline and not before', () => {
  watch(1000);
  vi.advanceTimersByTime(999);
  expect(silences).toBe(0);
  vi.advanceTimersByTime(1);
  expect(silences).toBe(1);
  vi.advanceTimersByTime(10_000);
  expect(silences).toBe(1);
});

test('each sign of life begins the deadline anew', () => {
  watch(1000);
  for (let i = 0; i < 5; i++) {
    vi.advanceTimersByTime(900);
    Atomics.add(signs, 0, 1);
  }
  expect(silences).toBe(0);
  // A sign is seen at the next look, a tenth of the deadline later at most.
  vi.advanceTimersByTime(1100);
  expect(silences).toBe(1);
});

test('a watch that was ended tells nothing', () => {
  watch(1000)();
  vi.advanceTimersByTime(10_000);
  expect(silences).toBe(0);
});
