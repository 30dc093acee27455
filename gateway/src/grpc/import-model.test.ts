import { readFileSync } from 'node:fs';
import { status } from '@grpc/grpc-js';
import { CreateEvaluationRequest, EvaluationServiceClient, ImportModelRequest, ModelServiceClient } from '@jsigr/proto';
import {
  connect,
  createLogger,
  type GrpcServer,
  JsigrError,
  serverStream,
  unary,
  unavailable,
  upload,
} from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { DATABASE_UNAVAILABLE } from '../store/database.ts';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { grpcFace } from '../testing/faces.ts';
import { type TestGateway, TINY, testGateway } from '../testing/gateway.ts';

// A CNN that PyTorch exported: 16 x 16 grey images, 6 classes, softmax at its end (packages/engine/golden/make.py)
const FILE = readFileSync(new URL('../../../packages/engine/golden/onnx/torch-plain-11/model.onnx', import.meta.url));
const LAYERS = new URL('../../../packages/engine/golden/layers/sequential/', import.meta.url);

let store: Store;
let gateway: TestGateway;
let server: GrpcServer;
let models: ModelServiceClient;
let evaluations: EvaluationServiceClient;
beforeAll(async () => {
  store = await memoryStore();
  gateway = await testGateway(store);
  server = await grpcFace(gateway);
  models = connect(ModelServiceClient, server);
  evaluations = connect(EvaluationServiceClient, server);
}, OPENING_MS);
afterAll(async () => {
  models.close();
  evaluations.close();
  await server.close(0);
  await gateway.close();
  await store.close();
});

const EMPTY = 'chunk.data: is empty: 1 to 1048576 bytes allowed';
const description = (fields: object = {}) =>
  ImportModelRequest.fromPartial({ message: { $case: 'description', value: fields } });
const chunk = (path: string, data: Uint8Array) =>
  ImportModelRequest.fromPartial({ message: { $case: 'chunk', value: { path, data: Buffer.from(data) } } });

/** A file in chunks of 1,000 bytes. */
function chunks(path: string, bytes: Uint8Array): ImportModelRequest[] {
  return Array.from({ length: Math.ceil(bytes.length / 1000) }, (_, i) =>
    chunk(path, bytes.subarray(i * 1000, (i + 1) * 1000)),
  );
}

/** What is said of a model, and its files, of 1,000 bytes a chunk. */
function whole(fields: object, files: Readonly<Record<string, Uint8Array>>): ImportModelRequest[] {
  const announced = Object.entries(files).map(([path, { length }]) => ({ path, sizeBytes: length }));
  return [
    description({ ...fields, files: announced }),
    ...Object.entries(files).flatMap(([path, bytes]) => chunks(path, bytes)),
  ];
}

async function* sent(messages: readonly ImportModelRequest[]) {
  yield* messages;
}

async function importing(...messages: ImportModelRequest[]) {
  const { model } = await upload(models, 'importModel', sent(messages));
  if (!model) throw new Error('no model');
  return model;
}

const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => JsigrError.from(error),
  );

describe('ImportModel', () => {
  test('keeps an ONNX file that came in chunks, with what is known of it, once', async () => {
    const fields = { displayName: 'plain', classNames: ['a', 'b', 'c', 'd', 'e', 'f'] };
    const model = await importing(...whole(fields, { 'model.onnx': FILE }));
    expect(model).toMatchObject({
      architecture: 'onnx',
      input: [16, 16, 1],
      classes: 6,
      producer: 'pytorch 2.15.0, operator set 11',
      dataset: '',
      trainingRun: '',
      ...fields,
    });
    expect(model.remarks).toEqual([expect.stringContaining('is used as logits')]);
    expect((await unary(models, 'getModel', { name: model.name })).model).toEqual(model);
    const request = { name: model.name, path: 'model.onnx', readOffset: 0 };
    const read: Buffer[] = [];
    for await (const { data } of serverStream(models, 'readModelFile', request)) read.push(data);
    expect(Buffer.concat(read).equals(FILE)).toBe(true);
    expect((await importing(...whole(fields, { 'model.onnx': FILE }))).name).toBe(model.name);
  });

  test('keeps a LayersModel with its weight files', async () => {
    const files = Object.fromEntries(
      ['model.json', 'weights.bin'].map((path) => [path, readFileSync(new URL(path, LAYERS))]),
    );
    expect(await importing(...whole({}, files))).toMatchObject({ architecture: 'layers-model', input: [10, 10, 3] });
  });

  test.each<[string, ImportModelRequest[], string]>([
    ['no description', [chunk('model.onnx', FILE)], 'description: is missing'],
    ['no file', [description()], 'description.files: 0 given, 1 to 100 allowed'],
    ['two descriptions', [...whole({}, { 'model.onnx': FILE }), description()], 'description: came twice'],
    ['a manifest', whole({}, { 'manifest.json': FILE }), 'manifest.json is written here'],
    [
      'a chunk that is too large',
      [...whole({}, { a: Buffer.alloc(9) }), chunk('a', Buffer.alloc(2 ** 20 + 1))],
      'at most 1048576 allowed',
    ],
    ['a chunk without anything', [...whole({}, { a: FILE }).slice(0, 2), chunk('a', Buffer.alloc(0))], EMPTY],
    ['a chunk of an empty file', [...whole({}, { a: Buffer.alloc(0) }), chunk('a', Buffer.alloc(0))], EMPTY],
    [
      'a file that was not announced',
      [...whole({}, { a: FILE }), chunk('b', FILE)],
      '"b" is not a file of the description',
    ],
    ['an upload that broke off', whole({}, { 'model.onnx': FILE }).slice(0, 3), 'model.onnx ended after 2000 of'],
    ['a truncated file', whole({}, { 'model.onnx': FILE.subarray(0, 3000) }), 'not a readable ONNX file'],
    ['another size', whole({ input: [28, 28, 1] }, { 'model.onnx': FILE }), 'images of 28x28x1 do not fit it'],
    [
      'labels of another number',
      whole({ classNames: ['a'] }, { 'model.onnx': FILE }),
      '1 labels were given, the model tells 6',
    ],
  ])('refuses %s, naming it', async (_, messages, message) => {
    const error = await failure(importing(...messages));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.message).toContain(message);
  });

  describe('of a model that is kept and cannot be listed', () => {
    const named = (displayName: string) => importing(...whole({ displayName }, { 'model.onnx': FILE }));
    const listed = async () =>
      (await unary(models, 'listModels', { pageSize: 100, pageToken: '', trainingRun: '' })).models.map(
        ({ displayName }) => displayName,
      );

    test('does so again where the connection to the database broke', async () => {
      const gone = unavailable(DATABASE_UNAVAILABLE, 'the database server cannot be reached');
      const add = vi.spyOn(store.models, 'add').mockRejectedValueOnce(gone);
      await named('retried').finally(() => add.mockRestore());
      expect(await listed()).toContain('retried');
    });

    test("breaks off: at the next start it is nobody's, until it is imported again", async () => {
      const add = vi.spyOn(store.models, 'add').mockRejectedValueOnce(new Error('the process dies'));
      await failure(named('broken off')).finally(() => add.mockRestore());
      expect((await gateway.artefacts.list('models')).length).toBeGreaterThan((await store.models.digests()).size);
      const checkpoint = await gateway.checkpoint(1);
      await gateway.application.models.recoverAll(createLogger('test', 'silent'));
      expect((await unary(models, 'getModel', { name: checkpoint })).model?.step).toBe(1);
      expect(await listed()).not.toContain('broken off');
      await named('broken off');
      expect(await listed()).toContain('broken off');
    });
  });

  test('an evaluation of an imported model names the dataset, and both where they do not fit', async () => {
    const { name } = await importing(...whole({}, { 'model.onnx': FILE }));
    const create = (dataset: string) =>
      failure(
        unary(evaluations, 'createEvaluation', CreateEvaluationRequest.fromPartial({ spec: { model: name, dataset } })),
      );
    expect((await create('')).message).toContain('spec.dataset: is missing: the model was imported');
    expect((await create(TINY)).message).toContain(
      'datasets/tiny has images of [28,28,1] in 10 classes, the model takes [16,16,1] in 6',
    );
  });
});
