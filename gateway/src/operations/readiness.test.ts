import { createLogger } from '@jsigr/service';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Readiness } from './readiness.ts';

const logger = createLogger('test', 'silent');
let work: () => Promise<unknown>;
let readiness: Readiness;
const told: boolean[] = [];
beforeEach(() => {
  vi.useFakeTimers();
  told.length = 0;
  work = async () => {};
  readiness = new Readiness([{ name: 'the database', work: () => work() }], logger);
});
afterEach(() => {
  readiness.close();
  vi.useRealTimers();
});

test('a gateway is ready from its start on, as long as what it rests on answers', async () => {
  await expect(readiness.demand()).rejects.toThrow(/starts, or stops/);
  await readiness.start((ready) => void told.push(ready));
  await readiness.demand();
  work = async () => Promise.reject(new Error('connection refused'));
  await expect(readiness.demand()).rejects.toMatchObject({ code: 14, message: /the database: .*connection refused/ });
  await vi.advanceTimersByTimeAsync(5000);
  work = async () => {};
  await vi.advanceTimersByTimeAsync(5000);
  expect(told).toEqual([true, false, true]);
  readiness.close();
  await expect(readiness.demand()).rejects.toThrow(/starts, or stops/);
});

test('what answers too late does not answer', async () => {
  await readiness.start(() => {});
  work = () => new Promise(() => {});
  const asked = expect(readiness.demand()).rejects.toThrow(/did not answer within 2000 ms/);
  await vi.advanceTimersByTimeAsync(2000);
  await asked;
});
