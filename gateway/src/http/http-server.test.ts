import { request as httpRequest, type IncomingMessage } from 'node:http';
import { type ListObjectivesResponse, RunState } from '@jsigr/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { httpFace } from '../testing/faces.ts';
import { type TestGateway, TINY, testGateway } from '../testing/gateway.ts';
import type { HttpServer } from './http-server.ts';

let store: Store;
let gateway: TestGateway;
let server: HttpServer;
let model: string;
beforeAll(async () => {
  store = await memoryStore();
  gateway = await testGateway(store);
  server = await httpFace(gateway);
  model = await gateway.checkpoint(1);
  await gateway.application.models.record(model.replace('models/', ''));
}, OPENING_MS);
afterAll(async () => {
  await server.close();
  await gateway.close();
  await store.close();
});

type Json = Record<string, never> & { error: { code: number; status: string; message: string; details: Json[] } };

const url = (path: string) => `http://${server.address}/v1/${path}`;
const get = async (path: string) => {
  const response = await fetch(url(path));
  return { status: response.status, body: (await response.json()) as Json };
};
const post = async (
  path: string,
  body?: unknown,
  headers: Record<string, string> = { 'content-type': 'application/json' },
) => {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(url(path), { method: 'POST', headers, ...(body === undefined ? {} : { body: text }) });
  return { status: response.status, body: (await response.json()) as Json };
};
const spec = { dataset: TINY, architecture: 'lenet', objective: 'standard', epochs: 1 };

async function running(): Promise<string> {
  const before = gateway.pool.trainers.length;
  const { body } = await post('trainingRuns', { spec });
  await gateway.pool.trainer(before);
  return (body as unknown as { trainingRun: { name: string } }).trainingRun.name;
}

describe('the HTTP face', () => {
  test('creates, shows, lists and cancels a run under the names of the contract', async () => {
    const name = await running();
    expect(await get(name)).toMatchObject({ status: 200, body: { trainingRun: { name, spec: { batchSize: 64 } } } });
    const { body } = await get('trainingRuns?page_size=1');
    expect(body).toMatchObject({ trainingRuns: [{ name }] });
    // Where the etag stands, in the body or in the address, must not matter.
    expect((await post(`${name}:cancel`, { etag: 'of another state' })).status).toBe(409);
    expect((await post(`${name}:cancel?etag=of-another-state`)).status).toBe(409);
    expect((await post(`${name}:cancel`, { tag: 'x' })).status).toBe(400);
    expect(await post(`${name}:cancel`)).toMatchObject({
      status: 200,
      body: { trainingRun: { state: 'RUN_STATE_CANCELLED' } },
    });
    expect(await post(`${name}:cancel`)).toMatchObject({
      status: 400,
      body: { error: { status: 'FAILED_PRECONDITION' } },
    });
  });

  test('shows models and datasets, and the bytes of their files from an offset on', async () => {
    expect(await get(model)).toMatchObject({ body: { model: { name: model, architecture: 'lenet', step: 1 } } });
    expect(await get('models')).toMatchObject({ body: { models: [{ name: model }] } });
    expect(await get(TINY)).toMatchObject({ body: { dataset: { input: [28, 28, 1] } } });
    for (const parameter of ['read_offset', 'readOffset']) {
      const response = await fetch(url(`${model}/files/weights.safetensors?${parameter}=990`));
      expect(Buffer.from(await response.arrayBuffer())).toEqual(Buffer.alloc(10, 1));
    }
    expect(await get(`${model}/files/weights.safetensors?read_offset=1001`)).toMatchObject({
      status: 400,
      body: { error: { status: 'OUT_OF_RANGE' } },
    });
  });

  test('says what can be trained, with every setting', async () => {
    const { objectives, techniques } = (await get('objectives')).body as unknown as ListObjectivesResponse;
    expect(objectives.find(({ name }) => name === 'jsigr')?.settings).toContainEqual({
      name: 'mask',
      defaultValue: 'hard',
      allowed: 'none, hard, soft',
      description: expect.stringContaining('spares'),
    });
    expect(techniques.map(({ name }) => name)).toContain('averageDecay');
  });

  test('waits for an explanation as long as the call asks for', async () => {
    gateway.pool.refused.set('explainer', 'never');
    const image = { sample: { dataset: TINY, index: 0 } };
    const headers = { 'content-type': 'application/json', prefer: 'wait=0' };
    expect(await post('explain', { model, image }, headers)).toMatchObject({
      status: 504,
      body: { error: { status: 'DEADLINE_EXCEEDED' } },
    });
    gateway.pool.refused.clear();
  });

  const refused: [string, () => Promise<{ status: number; body: Json }>, number, string][] = [
    ['an unknown path', () => get('nothing'), 404, 'PATH_NOT_FOUND'],
    ['an unknown run', () => get('trainingRuns/abc'), 404, 'TRAINING_RUN_NOT_FOUND'],
    ['a run that is no name', () => get('trainingRuns/ABC'), 400, 'INVALID_ARGUMENT'],
    ['half a body', () => post('trainingRuns', '{"spec":'), 400, 'MALFORMED_REQUEST'],
    ['a list', () => post('trainingRuns', '[]'), 400, 'INVALID_ARGUMENT'],
    ['a form', () => post('trainingRuns', 'a=b', { 'content-type': 'text/plain' }), 400, 'NOT_JSON'],
    ['an unknown parameter', () => get('models?page=3'), 400, 'INVALID_ARGUMENT'],
    ['a body of 13 MiB', () => post('explain', { model: 'x'.repeat(13 * 2 ** 20) }), 413, 'BODY_TOO_LARGE'],
    ['an event that is no number', () => get(`trainingRuns/abc/events?after_sequence=x`), 400, 'INVALID_ARGUMENT'],
    ['an offset that is no number', () => get(`${model}/files/manifest.json?read_offset=x`), 400, 'INVALID_ARGUMENT'],
    ['an offset below 0', () => get(`${model}/files/manifest.json?read_offset=-1`), 400, 'OUT_OF_RANGE'],
    ['an offset by another name', () => get(`${model}/files/manifest.json?offset=5`), 400, 'INVALID_ARGUMENT'],
    [
      'a class below 0',
      () => post('explain', { model, target: -1, image: { sample: { dataset: TINY } } }),
      400,
      'INVALID_ARGUMENT',
    ],
    [
      'a shape below 0',
      () => post('explain', { model, image: { tensor: { shape: [-28, 28, 1], data: 'AAAA' } } }),
      400,
      'INVALID_ARGUMENT',
    ],
    ['an unknown file', () => get(`${model}/files/other`), 404, 'FILE_NOT_FOUND'],
  ];
  for (const [what, ask, code, reason] of refused)
    test(`refuses ${what}, in Google's form`, async () => {
      const { status, body } = await ask();
      expect(status).toBe(code);
      expect(body.error.code).toBe(code);
      expect(body.error.details[0]).toMatchObject({ domain: 'jsigr.dev', reason });
    });

  test('names every field that is wrong', async () => {
    const { body } = await post('trainingRuns', { spec: { ...spec, epochs: 0, seed: -1 } });
    expect(body.error.details[1]).toMatchObject({
      fieldViolations: [{ field: 'spec.epochs' }, { field: 'spec.seed' }],
    });
  });

  const asked = (headers: Record<string, string>) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest(url('models'), { headers }, resolve).on('error', reject).end();
    });

  test('answers nobody who came by a foreign name, or from a foreign page', async () => {
    const own = server.address;
    expect((await asked({ host: 'evil.example' })).statusCode).toBe(403);
    for (const origin of ['https://evil.example', 'null', `http://${own}.evil.example`, ''])
      expect((await asked({ origin })).statusCode).toBe(403);
    expect((await asked({ origin: `http://${own}` })).statusCode).toBe(200);
  });

  test('tells browsers to run nothing that is not its own, and to show it in no frame', async () => {
    const { headers } = await asked({});
    expect(headers['content-security-policy']).toMatch(/default-src 'self';.*frame-ancestors 'none'/);
    expect(headers['content-security-policy']).not.toContain('unsafe');
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['x-powered-by']).toBeUndefined();
  });
});

/** Reads a stream of server-sent events until `count` have come, or to its end. */
async function events(path: string, count = Number.POSITIVE_INFINITY, headers: Record<string, string> = {}) {
  const controller = new AbortController();
  const response = await fetch(url(path), { headers, signal: controller.signal });
  if (response.status === 204) return { status: 204, events: [] };
  let text = '';
  const found = () =>
    [...text.matchAll(/^id: (\d+)\ndata: (.*)\n\n/gm)].map(([, id, data = '']) => ({
      id: Number(id),
      ...JSON.parse(data),
    }));
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    if (found().length >= count) break;
  }
  controller.abort();
  return { status: response.status, type: response.headers.get('content-type'), events: found() };
}

describe('operations over HTTP', () => {
  const root = (path: string) => fetch(`http://${server.address}/${path}`);

  test('say that the gateway lives and is ready', async () => {
    expect(await (await root('livez')).json()).toEqual({ status: 'alive' });
    expect(await (await root('readyz')).json()).toEqual({ status: 'ready' });
  });

  test('measure calls, runs and workers', async () => {
    await get('datasets');
    const name = await running();
    await expect
      .poll(async () => (await get(name)).body)
      .toMatchObject({ trainingRun: { state: 'RUN_STATE_RUNNING' } });
    const response = await root('metrics');
    expect(response.headers.get('content-type')).toContain('text/plain');
    const text = await response.text();
    expect(text).toMatch(
      /jsigr_calls_total\{face="http",method="jsigr.v1.DatasetService\/ListDatasets",code="200"\} \d/,
    );
    expect(text).toMatch(/jsigr_call_seconds_bucket\{le="0.1",face="http"/);
    expect(text).toMatch(/jsigr_runs\{kind="training",state="RUNNING"\} 1/);
    expect(text).toMatch(/jsigr_workers\{kind="trainer",state="busy"\} 1/);
    expect(text).toContain(`jsigr_training_images_per_second{run="${name.replace('trainingRuns/', '')}"} 0`);
    await post(`${name}:cancel`);
  });
});

describe('live events over HTTP', () => {
  test('are replayed, go on, and end with the run', async () => {
    const name = await running();
    const watching = events(`${name}/events`);
    await gateway.pool.trainers.at(-1)?.end();
    const { type, events: seen } = await watching;
    expect(type).toBe('text/event-stream');
    expect(seen.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(seen.at(-1)).toMatchObject({ event: { stateChanged: { state: RunState.RUN_STATE_SUCCEEDED } } });
    expect(await events(`${name}/events?after_sequence=4`)).toMatchObject({ events: [{ id: 5 }, { id: 6 }] });
    expect(await events(`${name}/events?afterSequence=5`)).toMatchObject({ events: [{ id: 6 }] });
    expect((await get(`${name}/events?after_sequence=-1`)).body.error.status).toBe('OUT_OF_RANGE');
    const resumed = await events(`${name}/events`, undefined, { 'last-event-id': '5' });
    expect(resumed.events).toMatchObject([{ id: 6 }]);
    // A browser comes again after the end; 204 tells it not to.
    expect((await events(`${name}/events`, undefined, { 'last-event-id': '6' })).status).toBe(204);
  });

  test('stop costing anything when the client goes away', async () => {
    const name = await running();
    expect((await events(`${name}/events`, 2)).events.slice(0, 2)).toMatchObject([{ id: 1 }, { id: 2 }]);
    await post(`${name}:cancel`);
    expect((await events(`${name}/events`)).events.at(-1)).toMatchObject({
      event: { stateChanged: { state: RunState.RUN_STATE_CANCELLED } },
    });
  });
});
