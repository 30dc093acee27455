import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { grantedCores, quotaOf } from './cores.ts';

test.each([
  ['150000 100000\n', 1.5],
  ['200000 100000', 2],
  ['max 100000\n', undefined],
  ['-1 100000', undefined],
  ['', undefined],
  [undefined, undefined],
])('cpu.max %j grants %j cores', (text, cores) => {
  expect(quotaOf(text)).toBe(cores);
});

test('there is at least one core, and not more than the process may use', () => {
  expect(grantedCores()).toBeGreaterThanOrEqual(1);
  expect(grantedCores()).toBeLessThanOrEqual(availableParallelism());
});
