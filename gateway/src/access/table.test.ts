import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Metadata, type MethodDefinition, type ServiceError, status } from '@grpc/grpc-js';
import { ModelFormat } from '@jsigr/proto';
import type { GrpcServer } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gatewayServices } from '../grpc/services.ts';
import { type HttpServer, httpControllers } from '../http/http-server.ts';
import { routesOf } from '../http/routes.ts';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { grpcFace, httpFace } from '../testing/faces.ts';
import { type TestGateway, TINY, testGateway } from '../testing/gateway.ts';
import { includes, type Role } from './caller.ts';
import { documentOf } from './document.ts';
import { type AccessRule, accessTable, ruleOf } from './table.ts';
import { TokenFile } from './tokens.ts';

// Every method and every route x everybody who may come along: what happens is what the table says.
const ONNX = new URL('../../../packages/engine/golden/onnx/torch-plain-11/model.onnx', import.meta.url);
const rules = Object.entries(accessTable) as [string, AccessRule][];
const routes = routesOf(httpControllers);

/** Who calls; all but `stranger` are of the tenant that has everything in this test. */
const callers = ['nobody', 'expired', 'stranger', 'viewer', 'runner', 'admin'] as const;
type CallerName = (typeof callers)[number];
type Outcome = 'let in' | 'UNAUTHENTICATED' | 'PERMISSION_DENIED' | 'NOT_FOUND';

function expected({ needs, tenant }: AccessRule, caller: CallerName): Outcome {
  if (caller === 'expired') return needs === 'nobody' ? 'let in' : 'UNAUTHENTICATED';
  if (needs === 'nobody') return 'let in';
  if (caller === 'nobody') return 'UNAUTHENTICATED';
  const role: Role = caller === 'stranger' ? 'runner' : caller;
  if (needs === 'worker' || !includes(role, needs)) return 'PERMISSION_DENIED';
  return caller === 'stranger' && (tenant === 'own' || tenant === 'visible') ? 'NOT_FOUND' : 'let in';
}

let folder: string;
let store: Store;
let gateway: TestGateway;
let grpc: GrpcServer;
let http: HttpServer;
let client: Client;
let onnx: Buffer;
let tokens: Record<CallerName, string | undefined>;
let run: string;
let evaluation: string;
let model: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-access-'));
  onnx = await readFile(ONNX);
  const file = new TokenFile(join(folder, 'tokens.json'));
  const yesterday = new TokenFile(join(folder, 'tokens.json'), () => new Date(Date.now() - 2 * 86_400_000));
  const make = async (from: TokenFile, name: string, role: Role, tenant: string, days = 1) =>
    (await from.create({ name, role, tenant, days })).token;
  tokens = {
    nobody: undefined,
    expired: await make(yesterday, 'expired', 'admin', 'vision'),
    stranger: await make(file, 'stranger', 'runner', 'elsewhere'),
    viewer: await make(file, 'viewer', 'viewer', 'vision'),
    runner: await make(file, 'runner', 'runner', 'vision'),
    admin: await make(file, 'admin', 'admin', 'vision'),
  };
  store = await memoryStore();
  gateway = await testGateway(store, { authenticators: [file] });
  grpc = await grpcFace(gateway);
  http = await httpFace(gateway);
  client = new Client(grpc.address, credentials.createInsecure());
  // A run makes its model, which is of the tenant of the run.
  const owner = { tenant: 'vision', kind: 'training', spec: {} } as const;
  run = `trainingRuns/${(await store.runs.create(owner)).id}`;
  evaluation = `evaluations/${(await store.runs.create({ ...owner, kind: 'evaluation' })).id}`;
  model = await gateway.checkpoint(1);
  await gateway.application.models.record(model.replace('models/', ''), 'vision');
  await idxFiles(folder);
}, OPENING_MS);
afterAll(async () => {
  client.close();
  await http.close();
  await grpc.close(0);
  await gateway.close();
  await store.close();
  await rm(folder, { recursive: true });
});

/** One image to train on and one to test on, 2 x 2. */
async function idxFiles(directory: string): Promise<void> {
  const images = Buffer.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, ...Array.from({ length: 8 }, () => 7)]);
  const labels = Buffer.from([0, 0, 8, 1, 0, 0, 0, 2, 0, 1]);
  for (const part of ['train', 't10k']) {
    await writeFile(join(directory, `${part}-images-idx3-ubyte`), images);
    await writeFile(join(directory, `${part}-labels-idx1-ubyte`), labels);
  }
}

const spec = { dataset: TINY, architecture: 'lenet', objective: 'standard', epochs: 1 };
const plan = { attacks: [{ attack: 'fgsm', norm: 'linf', epsilons: [0.1], settings: {}, keepExamples: 0 }] };
const sample = { image: { sample: { dataset: TINY, index: 0 } } };

/** A request for every method, as JSON; those that change something change something of this test's tenant. */
const requests: Readonly<Record<string, () => Promise<object> | object>> = {
  CreateTrainingRun: () => ({ spec }),
  GetTrainingRun: () => ({ name: run }),
  ListTrainingRuns: () => ({}),
  CancelTrainingRun: async () => ({ name: await fresh('training') }),
  WatchTrainingRun: () => ({ name: run }),
  ListObjectives: () => ({}),
  CreateEvaluation: () => ({ spec: { model, plan } }),
  GetEvaluation: () => ({ name: evaluation }),
  ListEvaluations: () => ({}),
  CancelEvaluation: async () => ({ name: await fresh('evaluation') }),
  WatchEvaluation: () => ({ name: evaluation }),
  ReadEvaluationFile: () => ({ name: evaluation, path: 'manifest.json' }),
  Explain: () => ({ model, ...sample }),
  GetModel: () => ({ name: model }),
  ListModels: () => ({}),
  ReadModelFile: () => ({ name: model, path: 'manifest.json' }),
  ExportModel: () => ({ name: model, format: ModelFormat.MODEL_FORMAT_ONNX }),
  ImportModel: () => ({ description: { files: [{ path: 'model.onnx', sizeBytes: onnx.length }] } }),
  GetDataset: () => ({ name: TINY }),
  ListDatasets: () => ({}),
  ReadDatasetFile: () => ({ name: TINY, path: 'manifest.json' }),
  ImportDataset: () => ({ datasetId: 'imported', format: 'mnist', directory: folder }),
  CollectGarbage: () => ({}),
  RegisterWorker: () => ({ kind: 'WORKER_KIND_TRAINER', address: '127.0.0.1:1', workerId: 'stranger' }),
  RenewLease: () => ({ leaseId: 'l1' }),
  DeregisterWorker: () => ({ leaseId: 'l1' }),
  IsActive: () => ({}),
  StreamIsActive: () => ({}),
  GetMetricSpec: () => ({}),
  GetMetrics: () => ({}),
  Check: () => ({}),
  List: () => ({}),
  Watch: () => ({}),
  ServerReflectionInfo: () => ({}),
  livez: () => ({}),
  readyz: () => ({}),
  metrics: () => ({}),
};

async function fresh(kind: 'training' | 'evaluation'): Promise<string> {
  const { id } = await store.runs.create({ tenant: 'vision', kind, spec: {} });
  return `${kind === 'training' ? 'trainingRuns' : 'evaluations'}/${id}`;
}

/** Lists show what one may see: a stranger's list without this test's things is how NOT_FOUND looks there. */
const LISTS = /^List(TrainingRuns|Evaluations|Models)$/;

function outcomeOf(code: number | undefined): Outcome {
  if (code === status.UNAUTHENTICATED) return 'UNAUTHENTICATED';
  if (code === status.PERMISSION_DENIED) return 'PERMISSION_DENIED';
  return code === status.NOT_FOUND ? 'NOT_FOUND' : 'let in';
}

/** Health and reflection by their bytes: an empty message is a request of either. */
const bare = (path: string): MethodDefinition<object, unknown> => ({
  path: `/${path}`,
  requestStream: path.includes('Reflection'),
  responseStream: !/(Check|List)$/.test(path),
  requestSerialize: () => Buffer.alloc(0),
  requestDeserialize: () => ({}),
  responseSerialize: () => Buffer.alloc(0),
  responseDeserialize: (bytes) => bytes,
});

async function byGrpc(path: string, caller: CallerName): Promise<Outcome> {
  const [service = '', name = ''] = path.split('/');
  const method = Object.values(gatewayServices[service] ?? {}).find((each) => each.path === `/${path}`) ?? bare(path);
  const metadata = new Metadata();
  if (tokens[caller]) metadata.set('authorization', `Bearer ${tokens[caller]}`);
  const json = await requests[name]?.();
  if (!json) throw new Error(`${path} has no request in this test`);
  const request = gatewayServices[service] ? await messageOf(service, name, json) : {};
  const { path: at, requestSerialize: write, responseDeserialize: read } = method;
  const upload = [request, ...(name === 'ImportModel' ? [chunk()] : [])];
  return new Promise((resolve) => {
    let answer: unknown;
    const done = (error: Partial<ServiceError> | null, response?: unknown) => {
      answer ??= response;
      if (!error && caller === 'stranger' && LISTS.test(name))
        return resolve(JSON.stringify(answer).includes('vision') ? 'let in' : 'NOT_FOUND');
      resolve(outcomeOf(error?.code));
    };
    if (method.responseStream) {
      const bidi = method.requestStream ? client.makeBidiStreamRequest(at, write, read, metadata) : undefined;
      const call = bidi ?? client.makeServerStreamRequest(at, write, read, request, metadata);
      call.on('data', () => {
        done(null);
        call.cancel();
      });
      call.on('error', (error: ServiceError) => done(error));
      call.on('end', () => done(null));
      bidi?.end();
    } else if (method.requestStream) {
      const call = client.makeClientStreamRequest(at, write, read, metadata, done);
      for (const message of upload) call.write(message);
      call.end();
    } else client.makeUnaryRequest(at, write, read, request, metadata, done);
  });
}

async function messageOf(_: string, name: string, json: object): Promise<object> {
  const types = (await import('@jsigr/proto')) as unknown as Record<string, { fromPartial(json: object): object }>;
  // KEDA's contract has its own names.
  const type = types[`${name}Request`] ?? types.ScaledObjectRef;
  if (!type) throw new Error(`there is no ${name}Request`);
  const { image, description, ...rest } = json as { image?: { sample: object }; description?: object };
  return type.fromPartial({
    ...rest,
    ...(image ? { image: { source: { $case: 'sample', value: image.sample } } } : {}),
    ...(description ? { message: { $case: 'description', value: description } } : {}),
  });
}

function chunk(): object {
  return { message: { $case: 'chunk', value: { path: 'model.onnx', data: onnx } } };
}

async function byHttp(route: string, serves: string, caller: CallerName): Promise<Outcome> {
  const [verb = '', pattern = ''] = route.split(' ');
  const name = serves.split('/')[1] ?? '';
  const json = (await requests[name]?.()) as { name?: string; path?: string };
  const id = (json.name ?? '').split('/')[1] ?? '';
  const path = pattern
    .replaceAll('\\', '')
    .replace(/:(id|digest)/, id)
    .replace(':path', json.path ?? '');
  const controller = new AbortController();
  const response = await fetch(`http://${http.address}${path}`, {
    method: verb,
    headers: {
      ...(verb === 'POST' ? { 'content-type': 'application/json' } : {}),
      ...(tokens[caller] ? { authorization: `Bearer ${tokens[caller]}` } : {}),
    },
    ...(verb === 'POST' ? { body: JSON.stringify(json.name ? {} : json) } : {}),
    signal: controller.signal,
  });
  const stream = response.headers.get('content-type') === 'text/event-stream';
  const text = stream ? '' : await response.text();
  controller.abort();
  if (response.ok && caller === 'stranger' && LISTS.test(name)) return text.includes('vision') ? 'let in' : 'NOT_FOUND';
  const outcomes: Partial<Record<number, Outcome>> = {
    401: 'UNAUTHENTICATED',
    403: 'PERMISSION_DENIED',
    404: 'NOT_FOUND',
  };
  return outcomes[response.status] ?? 'let in';
}

describe('the access table', () => {
  test('has every method that the gateway serves over gRPC, and no other', () => {
    // What grpc-js itself would answer, health and reflection included.
    const { handlers } = grpc.server as unknown as { handlers: Map<string, unknown> };
    const served = [...handlers.keys()].map((path) => path.slice(1)).sort();
    expect(
      rules
        .map(([method]) => method)
        .filter((method) => !method.startsWith('http/'))
        .sort(),
    ).toEqual(served);
  });

  test('has a rule for every route of the HTTP face', () => {
    const { stack } = http.router as unknown as {
      stack: { route?: { path: string; methods: Record<string, boolean> } }[];
    };
    const answered = stack.flatMap(({ route }) =>
      route ? Object.keys(route.methods).map((verb) => `${verb.toUpperCase()} ${route.path}`) : [],
    );
    expect(routes.map(({ route }) => route).sort()).toEqual(answered.sort());
    expect(routes.filter(({ serves }) => !ruleOf(serves))).toEqual([]);
  });

  test('is written out in docs/access.md', async () => {
    await expect(documentOf(accessTable, routes)).toMatchFileSnapshot('../../../docs/access.md');
  });
});

for (const [method, rule] of rules.filter(([name]) => !name.startsWith('http/')))
  describe(method, () => {
    for (const caller of callers)
      test(`${caller}: ${expected(rule, caller)}`, async () => {
        expect(await byGrpc(method, caller)).toBe(expected(rule, caller));
      });
  });

for (const { route, serves } of routes)
  describe(route, () => {
    const rule = ruleOf(serves);
    for (const caller of callers)
      test(`${caller}: ${rule && expected(rule, caller)}`, async () => {
        expect(await byHttp(route, serves, caller)).toBe(rule && expected(rule, caller));
      });
  });

describe('the audit log', () => {
  for (const [method] of rules.filter(([, { changes }]) => changes))
    test(`has ${method}, with who and what`, async () => {
      await byGrpc(method, 'admin');
      expect(gateway.audited.some((line) => line.startsWith(`token/admin ${method} `))).toBe(true);
    });
  test('has nothing else', () => {
    const methods = new Set(gateway.audited.map((line) => line.split(' ')[1]));
    expect([...methods].filter((method) => !ruleOf(method ?? '')?.changes)).toEqual([]);
  });
});
