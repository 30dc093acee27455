import { expect, test } from 'vitest';
import { workerConfig } from './environment.ts';
import { JsigrError } from './errors.ts';

const good = {
  JSIGR_GATEWAY: '127.0.0.1:7400',
  JSIGR_WORKER_ID: 'w1',
  JSIGR_WORKER_TOKEN: 'a-token-of-this-worker',
  JSIGR_ARTEFACTS: '/data/artefacts',
};

test('what is absent or empty takes its default', () => {
  expect(workerConfig({ ...good, JSIGR_PORT: '', PATH: '/bin' })).toEqual({
    gateway: '127.0.0.1:7400',
    workerId: 'w1',
    token: 'a-token-of-this-worker',
    compute: {},
    stateMs: 30_000,
    silenceMs: 1_800_000,
    graceMs: 8000,
    place: { artefacts: '/data/artefacts' },
    endpointNetworks: [],
    host: '127.0.0.1',
    port: 0,
    checkDevice: false,
  });
  const networks = '10.1.0.0/16, ::1/128';
  expect(
    workerConfig({
      ...{ ...good, JSIGR_THREADS: '2', JSIGR_PORT: '7500', JSIGR_ENDPOINT_NETWORKS: networks },
      ...{ JSIGR_HEALTH_PORT: '7480', JSIGR_CHECK_DEVICE: 'true' },
    }),
  ).toMatchObject({
    endpointNetworks: ['10.1.0.0/16', '::1/128'],
    compute: { threads: 2 },
    stateMs: 30_000,
    graceMs: 8000,
    port: 7500,
    healthPort: 7480,
    checkDevice: true,
  });
});

test.each([
  [{ JSIGR_GATEWAY: undefined }, ['JSIGR_GATEWAY']],
  [{ JSIGR_GATEWAY: 'localhost' }, ['JSIGR_GATEWAY']],
  [{ JSIGR_WORKER_ID: '', JSIGR_ARTEFACTS: '' }, ['JSIGR_WORKER_ID', 'JSIGR_ARTEFACTS']],
  [{ JSIGR_THREADS: '0' }, ['JSIGR_THREADS']],
  [{ JSIGR_ENGINE: 'torch', JSIGR_DEVICE: 'tpu' }, ['JSIGR_ENGINE', 'JSIGR_DEVICE']],
  [{ JSIGR_PORT: '99999', JSIGR_HEALTH_PORT: 'x' }, ['JSIGR_PORT', 'JSIGR_HEALTH_PORT']],
  [{ JSIGR_CHECK_DEVICE: 'yes' }, ['JSIGR_CHECK_DEVICE']],
])('%j names every variable that is wrong', (change, fields) => {
  let error: unknown;
  try {
    workerConfig({ ...good, ...change });
  } catch (caught) {
    error = caught;
  }
  expect(JsigrError.from(error).violations.map(({ field }) => field)).toEqual(fields);
});
