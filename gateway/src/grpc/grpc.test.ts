import { status } from '@grpc/grpc-js';
import { encodeCheckpoint, initialParameters, resolveModelSpec } from '@jsigr/models';
import {
  CreateTrainingRunRequest,
  DatasetServiceClient,
  EvaluationServiceClient,
  ExplainRequest,
  ExplainResponse,
  ExplanationServiceClient,
  ModelFormat,
  ModelServiceClient,
  RunState,
  TrainingServiceClient,
  WorkerRegistryServiceClient,
} from '@jsigr/proto';
import { connect, type GrpcServer, JsigrError, serverStream, unary } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { grpcFace } from '../testing/faces.ts';
import { type TestGateway, TINY, testGateway, words } from '../testing/gateway.ts';
import { isServing } from '../workers/health.ts';

let store: Store;
let gateway: TestGateway;
let server: GrpcServer;
let clients: ReturnType<typeof connectAll>;
let model: string;
beforeAll(async () => {
  store = await memoryStore();
  gateway = await testGateway(store);
  server = await grpcFace(gateway);
  clients = connectAll(server.address);
  model = await gateway.checkpoint(1);
  await gateway.application.models.record(model.replace('models/', ''));
}, OPENING_MS);
afterAll(async () => {
  for (const client of Object.values(clients)) client.close();
  await server.close(0);
  await gateway.close();
  await store.close();
});

function connectAll(address: string) {
  return {
    training: connect(TrainingServiceClient, { address }),
    evaluations: connect(EvaluationServiceClient, { address }),
    explanations: connect(ExplanationServiceClient, { address }),
    models: connect(ModelServiceClient, { address }),
    datasets: connect(DatasetServiceClient, { address }),
    registry: connect(WorkerRegistryServiceClient, { address }),
  };
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}
const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => JsigrError.from(error),
  );
const spec = { dataset: TINY, architecture: 'lenet', objective: 'standard', epochs: 1 };

describe('the gRPC face', () => {
  test('creates a run, shows it, lists it, and streams its events to the end', async () => {
    const { training } = clients;
    const request = CreateTrainingRunRequest.fromPartial({ spec, displayName: 'mine', requestId: 'one' });
    const { trainingRun } = await unary(training, 'createTrainingRun', request);
    const name = trainingRun?.name ?? '';
    expect((await unary(training, 'createTrainingRun', request)).trainingRun?.name).toBe(name);
    const watching = all(serverStream(training, 'watchTrainingRun', { name, afterSequence: 1 }));
    (await gateway.pool.trainer()).end();
    const events = (await watching).flatMap(({ event }) => (event ? [event] : []));
    expect(words(events)).toEqual(['STARTING', 'STARTING', 'workerChanged', 'RUNNING', 'SUCCEEDED']);
    expect(events.map(({ sequence }) => sequence)).toEqual([2, 3, 4, 5, 6]);
    expect(events[0]?.time).toBeInstanceOf(Date);
    expect((await unary(training, 'getTrainingRun', { name })).trainingRun).toMatchObject({
      displayName: 'mine',
      state: RunState.RUN_STATE_SUCCEEDED,
      endTime: expect.any(Date),
    });
    const { trainingRuns } = await unary(training, 'listTrainingRuns', { pageSize: 0, pageToken: '' });
    expect(trainingRuns.map((run) => run.name)).toEqual([name]);
    expect(await failure(unary(training, 'cancelTrainingRun', { name, etag: '' }))).toMatchObject({
      reason: 'RUN_FINISHED',
    });
  });

  test('says with every field what is wrong', async () => {
    const request = CreateTrainingRunRequest.fromPartial({ spec: { ...spec, epochs: 0, architecture: 'vit' } });
    const error = await failure(unary(clients.training, 'createTrainingRun', request));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.violations.map(({ field }) => field)).toEqual(['spec.architecture', 'spec.epochs']);
  });

  test('errors of streams carry their details too', async () => {
    const unknown = all(
      serverStream(clients.training, 'watchTrainingRun', { name: 'trainingRuns/abc', afterSequence: 0 }),
    );
    expect(await failure(unknown)).toMatchObject({ code: status.NOT_FOUND, reason: 'TRAINING_RUN_NOT_FOUND' });
    const far = { name: 'evaluations/abc', afterSequence: 0 };
    expect(await failure(all(serverStream(clients.evaluations, 'watchEvaluation', far)))).toMatchObject({
      reason: 'EVALUATION_NOT_FOUND',
    });
  });

  test('reads the files of models and datasets from an offset on', async () => {
    const request = { name: model.slice(0, 20), path: 'weights.safetensors', readOffset: 600 };
    const chunks = await all(serverStream(clients.models, 'readModelFile', request));
    expect(chunks[0]?.offset).toBe(600);
    expect(Buffer.concat(chunks.map(({ data }) => data))).toEqual(Buffer.alloc(400, 1));
    const { dataset } = await unary(clients.datasets, 'getDataset', { name: TINY });
    const file = dataset?.files.find(({ path }) => path === 'data.safetensors');
    const bytes = await all(
      serverStream(clients.datasets, 'readDatasetFile', { name: TINY, path: 'data.safetensors', readOffset: 0 }),
    );
    expect(bytes.reduce((sum, { data }) => sum + data.length, 0)).toBe(file?.sizeBytes);
    const beyond = serverStream(clients.models, 'readModelFile', { ...request, readOffset: 1001 });
    expect(await failure(all(beyond))).toMatchObject({ code: status.OUT_OF_RANGE });
  });

  test('exports a model as an ONNX file', async () => {
    const initial = { architecture: 'mlp', input: [28, 28, 1], classes: 10 } as const;
    const parameters = initialParameters(initial, 0);
    const files = encodeCheckpoint({
      run: 'trainingRuns/made',
      step: 1,
      epoch: 1,
      model: resolveModelSpec(initial),
      dataset: { name: 'tiny', digest: '' },
      objective: { name: 'standard', settings: {} },
      configuration: {},
      seed: 0,
      engine: {},
      metrics: {},
      parameters,
      optimizer: {},
    });
    const { digest } = await gateway.artefacts.put('models', files);
    await gateway.application.models.record(digest);
    const request = { name: `models/${digest}`, format: ModelFormat.MODEL_FORMAT_ONNX };
    const chunks = await all(serverStream(clients.models, 'exportModel', request));
    const file = Buffer.concat(chunks.map(({ data }) => data));
    // The names of the file's input and output, and the largest of its weights (equal ones may be stored once).
    expect([file.includes('images'), file.includes('logits')]).toEqual([true, true]);
    const [largest] = Object.values(parameters).sort((a, b) => b.data.length - a.data.length);
    const { buffer, byteOffset, byteLength } = largest?.data ?? new Float32Array();
    expect(file.includes(Buffer.from(buffer, byteOffset, byteLength))).toBe(true);
    const other = { ...request, format: ModelFormat.MODEL_FORMAT_UNSPECIFIED };
    expect(await failure(all(serverStream(clients.models, 'exportModel', other)))).toMatchObject({
      violations: [{ field: 'format' }],
    });
  });

  test('explains until the deadline of the call', async () => {
    const request = ExplainRequest.fromPartial({
      model,
      image: { source: { $case: 'sample', value: { dataset: TINY, index: 0 } } },
    });
    gateway.pool.onExplainer = (explainer) => {
      explainer.answer = () => ({ response: ExplainResponse.fromPartial({ predicted: 4 }) });
    };
    expect(await unary(clients.explanations, 'explain', request)).toMatchObject({ predicted: 4 });
    gateway.pool.refused.set('explainer', 'never');
    const late = await failure(unary(clients.explanations, 'explain', request, { deadlineMs: 100 }));
    expect(late.code).toBe(status.DEADLINE_EXCEEDED);
  });

  test('takes no worker that it did not start', async () => {
    const request = { kind: 'WORKER_KIND_TRAINER', address: '127.0.0.1:1', workerId: 'stranger', capacity: 1 } as const;
    expect(await failure(unary(clients.registry, 'registerWorker', request))).toMatchObject({
      code: status.PERMISSION_DENIED,
    });
    expect(
      await failure(
        unary(clients.registry, 'renewLease', { leaseId: 'x', load: 0, draining: false, gpuMemory: undefined }),
      ),
    ).toMatchObject({
      code: status.PERMISSION_DENIED,
    });
  });

  test('is healthy', async () => {
    expect(await isServing(server, 5000)).toBe(true);
  });
});
