import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { httpFace } from '../testing/faces.ts';
import { type TestGateway, TINY, testGateway } from '../testing/gateway.ts';
import type { HttpServer } from './http-server.ts';

let store: Store;
let gateway: TestGateway;
let server: HttpServer;
beforeAll(async () => {
  store = await memoryStore();
  gateway = await testGateway(store, { limits: { watches: 1, activeRuns: 1 } });
  server = await httpFace(gateway);
}, OPENING_MS);
afterAll(async () => {
  await server.close();
  await gateway.close();
  await store.close();
});

const url = (path: string) => `http://${server.address}/v1/${path}`;
async function create(requestId: string, epochs = 1) {
  const spec = { dataset: TINY, architecture: 'lenet', objective: 'standard', epochs };
  const response = await fetch(url('trainingRuns'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ requestId, spec }),
  });
  const body = (await response.json()) as { trainingRun: { name: string }; error: { details: { reason: string }[] } };
  return { status: response.status, name: body.trainingRun?.name, reason: body.error?.details[0]?.reason };
}

test('limits of a tenant are 429 over HTTP, for live events too; what was acknowledged is acknowledged again', async () => {
  const { status, name } = await create('one');
  expect(status).toBe(200);
  expect(await create('two')).toMatchObject({ status: 429, reason: 'QUOTA_EXCEEDED' });
  expect(await create('one')).toMatchObject({ status: 200, name });
  expect(await create('one', 2)).toMatchObject({ status: 409, reason: 'REQUEST_ID_REUSED' });

  const watching = new AbortController();
  const first = await fetch(url(`${name}/events`), { signal: watching.signal });
  expect(first.status).toBe(200);
  const second = await fetch(url(`${name}/events`));
  expect(second.status).toBe(429);
  expect(await second.json()).toMatchObject({ error: { details: [{ reason: 'QUOTA_EXCEEDED' }] } });
  watching.abort();
  await expect
    .poll(async () => (await fetch(url(`${name}/events`), { signal: AbortSignal.timeout(5000) })).status)
    .toBe(200);
});
