import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModelServiceClient, WorkerRegistryServiceClient } from '@jsigr/proto';
import { connect, type GrpcServer, unary } from '@jsigr/service';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HttpServer } from '../http/http-server.ts';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { grpcFace, httpFace } from '../testing/faces.ts';
import { type TestGateway, testGateway } from '../testing/gateway.ts';
import { isServing } from '../workers/health.ts';
import { TokenFile } from './tokens.ts';

const PER_MINUTE = 6;
let folder: string;
let store: Store;
let gateway: TestGateway;
let grpc: GrpcServer;
let http: HttpServer;
let known: string;
let newcomer: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-sign-in-'));
  const file = new TokenFile(join(folder, 'tokens.json'));
  known = (await file.create({ name: 'known', role: 'viewer' })).token;
  newcomer = (await file.create({ name: 'newcomer', role: 'viewer' })).token;
  store = await memoryStore();
  gateway = await testGateway(store, { authenticators: [file], failedSignInsPerMinute: PER_MINUTE });
  [grpc, http] = await Promise.all([grpcFace(gateway), httpFace(gateway)]);
}, OPENING_MS);
afterAll(async () => {
  await http.close();
  await grpc.close(0);
  await gateway.close();
  await store.close();
  await rm(folder, { recursive: true });
});

const get = (path: string, token?: string) =>
  fetch(`http://${http.address}${path}`, { headers: token ? { authorization: `Bearer ${token}` } : {} });
async function byGrpc(token?: string): Promise<string> {
  const client = connect(ModelServiceClient, { address: grpc.address, ...(token ? { token } : {}) });
  const answer = unary(client, 'listModels', { pageSize: 0, pageToken: '', trainingRun: '' });
  const reason = await answer.then(
    () => 'let in',
    (error) => error.reason,
  );
  client.close();
  return reason;
}

test('whoever fails to sign in again and again waits, over both faces; probes, workers and known tokens do not', async () => {
  expect((await get('/v1/models', known)).status).toBe(200);
  // Nothing, a wrong token, and a body from nobody, which is not read.
  expect((await get('/v1/models')).status).toBe(401);
  expect((await get('/v1/models', 'jsigr_aaaaaaaa_wrong')).status).toBe(401);
  const body = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' };
  expect((await fetch(`http://${http.address}/v1/trainingRuns`, body)).status).toBe(401);
  expect([await byGrpc(), await byGrpc('wrong'), await byGrpc()]).toEqual([
    'UNAUTHENTICATED',
    'TOKEN_UNKNOWN',
    'UNAUTHENTICATED',
  ]);

  const refused = await get('/v1/models');
  expect(refused.status).toBe(429);
  const seconds = Number(refused.headers.get('retry-after'));
  expect(seconds).toBeGreaterThanOrEqual(1);
  expect(seconds).toBeLessThanOrEqual(60 / PER_MINUTE);
  expect(await refused.json()).toMatchObject({ error: { details: [{ reason: 'RATE_LIMITED' }, {}] } });
  expect((await fetch(`http://${http.address}/v1/trainingRuns`, body)).status).toBe(429);
  expect(await byGrpc('wrong')).toBe('RATE_LIMITED');
  // A token that may be good is not looked at before.
  expect(await byGrpc(newcomer)).toBe('RATE_LIMITED');

  expect([(await get('/livez')).status, (await get('/readyz')).status]).toEqual([200, 200]);
  expect(await isServing({ address: grpc.address }, 5000)).toBe(true);
  expect([(await get('/v1/models', known)).status, await byGrpc(known)]).toEqual([200, 'let in']);
  const worker = { address: grpc.address, token: gateway.credentials.worker('w1') };
  const registry = connect(WorkerRegistryServiceClient, worker);
  await expect(
    unary(registry, 'renewLease', { leaseId: 'x', load: 0, draining: false, gpuMemory: undefined }),
  ).rejects.toMatchObject({
    reason: 'LEASE_NOT_FOUND',
  });
  registry.close();
});
