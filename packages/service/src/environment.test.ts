import { expect, test } from 'vitest';
import { workerConfig } from './environment.ts';
import { JsigrError } from './errors.ts';

const good = { JSIGR_GATEWAY: '127.0.0.1:7400', JSIGR_WORKER_ID: 'w1', JSIGR_ARTEFACTS: '/data/artefacts' };

test('what is absent or empty takes its default', () => {
  expect(workerConfig({ ...good, JSIGR_PORT: '', PATH: '/bin' })).toEqual({
    gateway: '127.0.0.1:7400',
    workerId: 'w1',
    compute: {},
    artefacts: '/data/artefacts',
    host: '127.0.0.1',
    port: 0,
  });
  expect(workerConfig({ ...good, JSIGR_THREADS: '2', JSIGR_PORT: '7500' })).toMatchObject({
    compute: { threads: 2 },
    port: 7500,
  });
});

test.each([
  [{ JSIGR_GATEWAY: undefined }, ['JSIGR_GATEWAY']],
  [{ JSIGR_GATEWAY: 'localhost' }, ['JSIGR_GATEWAY']],
  [{ JSIGR_WORKER_ID: '', JSIGR_ARTEFACTS: '' }, ['JSIGR_WORKER_ID', 'JSIGR_ARTEFACTS']],
  [{ JSIGR_THREADS: '0' }, ['JSIGR_THREADS']],
  [{ JSIGR_ENGINE: 'torch', JSIGR_DEVICE: 'tpu' }, ['JSIGR_ENGINE', 'JSIGR_DEVICE']],
  [{ JSIGR_PORT: '99999' }, ['JSIGR_PORT']],
])('%j names every variable that is wrong', (change, fields) => {
  let error: unknown;
  try {
    workerConfig({ ...good, ...change });
  } catch (caught) {
    error = caught;
  }
  expect(JsigrError.from(error).violations.map(({ field }) => field)).toEqual(fields);
});
