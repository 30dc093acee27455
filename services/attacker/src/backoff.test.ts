import { status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { retryDelay } from './backoff.ts';

test('the wait doubles from failure to failure, with jitter, and ends', () => {
  const delays = [1, 2, 3, 4, 5, 6].map((failures) => retryDelay(failures, status.UNAVAILABLE, 0));
  expect(delays).toEqual([50, 100, 200, 400, 800, undefined]);
  expect(retryDelay(1, status.UNAVAILABLE, 0.5)).toBe(75);
});

test.each([status.NOT_FOUND, status.INVALID_ARGUMENT, status.CANCELLED, status.INTERNAL])(
  'status %i is not tried again',
  (code) => {
    expect(retryDelay(1, code, 0)).toBeUndefined();
  },
);
