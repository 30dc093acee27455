import { status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { failedPrecondition, invalidArgument, JsigrError, notFound } from './errors.ts';
import { toServiceError } from './grpc-errors.ts';
import { exitCodeOf, toHttpError } from './http-errors.ts';

class PackageError extends Error {
  readonly reason: string;
  readonly field?: string;
  constructor(reason: string, message: string, field?: string) {
    super(message);
    this.reason = reason;
    if (field) this.field = field;
  }
}

function zodError(): unknown {
  const parsed = z.object({ epochs: z.int().max(10) }).safeParse({ epochs: 11 });
  return parsed.error;
}

const foreign: [name: string, error: unknown, code: status, reason: string, fields: string[]][] = [
  [
    'a package error with a field',
    new PackageError('INVALID_SETTING', 'epsilon is 2', 'epsilon'),
    status.INVALID_ARGUMENT,
    'INVALID_SETTING',
    ['epsilon'],
  ],
  ['a package error without a field', new PackageError('NOT_FINITE', 'NaN'), status.INVALID_ARGUMENT, 'NOT_FINITE', []],
  [
    'a computing thread that was closed because its process stops',
    new PackageError('COMPUTE_THREAD_CLOSED', 'the compute thread was closed'),
    status.UNAVAILABLE,
    'COMPUTE_THREAD_CLOSED',
    [],
  ],
  [
    'a computing thread that died',
    new PackageError('COMPUTE_THREAD_DIED', 'the computing thread ended'),
    status.UNAVAILABLE,
    'COMPUTE_THREAD_DIED',
    [],
  ],
  [
    'a model that others drove out of memory',
    new PackageError('NOT_LOADED', 'the model ab is not loaded'),
    status.UNAVAILABLE,
    'NOT_LOADED',
    [],
  ],
  ['an aborted signal', AbortSignal.abort().reason, status.CANCELLED, 'CANCELLED', []],
  ['a timeout', new DOMException('too late', 'TimeoutError'), status.DEADLINE_EXCEEDED, 'DEADLINE_EXCEEDED', []],
  ['a Zod error', zodError(), status.INVALID_ARGUMENT, 'INVALID_ARGUMENT', ['epochs']],
  [
    'an error of the system, whose code is text',
    Object.assign(new Error('no'), { code: 'ENOENT', reason: 'because' }),
    status.INTERNAL,
    'INTERNAL',
    [],
  ],
  ['any other error', new TypeError('x is undefined'), status.INTERNAL, 'INTERNAL', []],
  ['what is no error at all', 'oops', status.INTERNAL, 'INTERNAL', []],
];

describe('JsigrError.from', () => {
  test.each(foreign)('takes %s', (_name, error, code, reason, fields) => {
    const ours = JsigrError.from(error);
    expect([ours.code, ours.reason, ours.violations.map(({ field }) => field)]).toEqual([code, reason, fields]);
  });

  test('leaves ours alone', () => {
    const error = notFound('model', 'models/ab');
    expect(JsigrError.from(error)).toBe(error);
  });

  test('brings back what went through gRPC', () => {
    const error = new JsigrError({
      code: status.FAILED_PRECONDITION,
      reason: 'BUSY',
      message: 'another run is being trained',
      violations: [{ field: 'run', description: 'is trainingRuns/1' }],
      hint: 'wait for its end',
      retryAfterSeconds: 90,
    });
    const { code, reason, message, violations, hint, retryAfterSeconds } = JsigrError.from(toServiceError(error));
    expect({ code, reason, message, violations, hint, retryAfterSeconds }).toEqual({
      code: status.FAILED_PRECONDITION,
      reason: 'BUSY',
      message: 'another run is being trained',
      violations: [{ field: 'run', description: 'is trainingRuns/1' }],
      hint: 'wait for its end',
      retryAfterSeconds: 90,
    });
  });

  test('reads a status whose details are garbage', () => {
    const error = toServiceError(notFound('model', 'models/ab'));
    error.metadata.set('grpc-status-details-bin', Buffer.from([0xff, 0xff, 0xff]));
    expect(JsigrError.from(error)).toMatchObject({ code: status.NOT_FOUND, reason: 'NOT_FOUND' });
  });
});

test("the HTTP face says the same in the form of Google's interfaces", () => {
  expect(toHttpError(invalidArgument('spec.epochs', '0 given, 1 to 10000 allowed'))).toEqual({
    status: 400,
    headers: {},
    body: {
      error: {
        code: 400,
        message: 'spec.epochs: 0 given, 1 to 10000 allowed',
        status: 'INVALID_ARGUMENT',
        details: [
          {
            '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
            reason: 'INVALID_ARGUMENT',
            domain: 'jsigr.dev',
            metadata: {},
          },
          {
            '@type': 'type.googleapis.com/google.rpc.BadRequest',
            fieldViolations: [{ field: 'spec.epochs', description: '0 given, 1 to 10000 allowed' }],
          },
        ],
      },
    },
  });
});

test('the HTTP face says when to try again, where that is known, in its header too', () => {
  const busy = { code: status.RESOURCE_EXHAUSTED, reason: 'RATE_LIMITED', message: 'too many calls' };
  expect(toHttpError(new JsigrError({ ...busy, retryAfterSeconds: 3 }))).toMatchObject({
    status: 429,
    headers: { 'retry-after': '3' },
    body: { error: { details: [{}, { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '3s' }] } },
  });
});

test.each([
  [invalidArgument('epochs', 'too many'), 2, 400],
  [notFound('model', 'models/ab'), 3, 404],
  [failedPrecondition('BUSY', 'busy'), 4, 400],
  [toServiceError(failedPrecondition('BUSY', 'busy')), 4, 400],
  [AbortSignal.abort().reason, 130, 499],
  [new Error('bug'), 1, 500],
])('%s: exit code %i, HTTP %i', (error, exitCode, http) => {
  expect([exitCodeOf(error), toHttpError(error).status]).toEqual([exitCode, http]);
});

test('however long an error is, what is sent of it is short, and says that there was more', () => {
  const long = 'ä'.repeat(100_000);
  const violations = Array.from({ length: 500 }, (_, i) => ({ field: `f${i}`, description: long }));
  const error = new JsigrError({
    code: status.INVALID_ARGUMENT,
    reason: 'LONG',
    message: long,
    hint: long,
    violations,
  });
  const [details] = toServiceError(error).metadata.get('grpc-status-details-bin');
  expect(details?.length).toBeLessThan(8192);
  expect(Buffer.byteLength(toServiceError(error).details)).toBeLessThanOrEqual(1000);
  const read = JsigrError.from(toServiceError(error));
  expect(read.violations.at(-1)).toEqual({ field: '', description: 'and 496 more' });
  expect(read.violations[0]?.description).toMatch(/^ä+…$/);
  expect(JSON.stringify(toHttpError(error).body).length).toBeLessThan(8192);
});

test('texts that are no Unicode are sent all the same: half of a pair at the cut of a foreign message, for one', () => {
  const half = '😀'.slice(0, 1);
  const { details } = toServiceError(failedPrecondition('SAID', `it said ${half}`));
  // What grpc-js writes into the trailers.
  expect(encodeURI(details)).toBe(encodeURI('it said \ufffd'));
});
