import { once } from 'node:events';
import { createRequire } from 'node:module';
import { PassThrough } from 'node:stream';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  makeGenericClientConstructor,
  type Server,
  type ServerReadableStream,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import {
  ExplainerServiceClient,
  ExplainerServiceService,
  ExplainImageRequest,
  ExplainImageResponse,
  ImportModelRequest,
  ImportModelResponse,
  ModelServiceClient,
  ModelServiceService,
  TrainerServiceClient,
  TrainerServiceService,
  type WatchTrainingRequest,
  WatchTrainingResponse,
} from '@jsigr/proto';
import { Controller, Module } from '@nestjs/common';
import { GrpcMethod, GrpcStreamCall } from '@nestjs/microservices';
import { service as healthService } from 'grpc-health-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { failedPrecondition, invalidArgument, JsigrError } from './errors.ts';
import { connect, serverStream, unary, upload } from './grpc-client.ts';
import { type GrpcServer, startGrpcServer } from './grpc-server.ts';
import { handle, pump, receive } from './pump.ts';
import { addReflection } from './reflection.ts';

/** What the server saw of a stream. */
interface Seen {
  produced: number;
  returned: Promise<void>;
  markReturned: () => void;
}
let seen: Seen;

function watchSource(run: string): Seen {
  let markReturned = () => {};
  const returned = new Promise<void>((resolve) => {
    markReturned = resolve;
  });
  seen = { produced: 0, returned, markReturned };
  if (run === 'unused') markReturned();
  return seen;
}

async function* events(run: string, signal: AbortSignal): AsyncGenerator<WatchTrainingResponse> {
  const mine = watchSource(run);
  try {
    if (run === 'refused') throw failedPrecondition('NO_SUCH_RUN', 'nothing is trained', 'start it first');
    if (run === 'silent') await once(signal, 'abort');
    const count = run === 'large' ? 10_000 : 3;
    const payload = 'x'.repeat(run === 'large' ? 100_000 : 1);
    for (let sequence = 1; sequence <= count; sequence++) {
      mine.produced++;
      yield WatchTrainingResponse.fromPartial({
        event: { sequence, payload: { $case: 'stateChanged', value: { state: 'RUN_STATE_RUNNING', reason: payload } } },
      });
    }
    if (run === 'breaks') throw failedPrecondition('BROKEN', 'after three events');
  } finally {
    mine.markReturned();
  }
}

/** Of a call that takes longer than its client waits: told when it begins, and when it has heard that nobody waits. */
let [begun, abandoned] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];

async function countChunks(messages: AsyncIterable<ImportModelRequest>, signal: AbortSignal) {
  let count = 0;
  for await (const { message } of messages) {
    if (message?.$case === 'chunk' && message.value.path === 'slow') {
      begun.resolve();
      await once(signal, 'abort');
      abandoned.resolve();
    }
    if (message?.$case === 'description') throw invalidArgument('description', 'is refused');
    count++;
  }
  return ImportModelResponse.fromPartial({ model: { classes: count } });
}

class EchoController {
  explainImage(request: ExplainImageRequest): Promise<ExplainImageResponse> {
    return handle(() => {
      if (request.modelDigest === 'bad')
        throw invalidArgument([
          { field: 'image', description: 'is empty' },
          { field: 'target', description: '12 given, 0..9 allowed' },
        ]);
      if (request.modelDigest === 'bug') throw new TypeError('x is undefined');
      return ExplainImageResponse.fromPartial({ response: { predicted: 7, classNames: [request.modelDigest] } });
    });
  }

  watchTraining(call: ServerWritableStream<WatchTrainingRequest, WatchTrainingResponse>): Promise<void> {
    return pump(call, (signal) => events(call.request.run, signal));
  }

  importModel(
    call: ServerReadableStream<ImportModelRequest, ImportModelResponse>,
    callback: sendUnaryData<ImportModelResponse>,
  ): Promise<void> {
    return receive(call, callback, countChunks);
  }
}
decorate();

class EchoModule {}
Module({ controllers: [EchoController] })(EchoModule);

/** The decorators as plain calls, so that the test does not depend on the compiler's decorator settings. */
function decorate(): void {
  Controller()(EchoController);
  const method = (name: 'explainImage' | 'watchTraining' | 'importModel', decorator: MethodDecorator) => {
    const descriptor = Object.getOwnPropertyDescriptor(EchoController.prototype, name);
    if (descriptor) decorator(EchoController.prototype, name, descriptor);
  };
  method('explainImage', GrpcMethod('ExplainerService', 'explainImage'));
  method('watchTraining', GrpcStreamCall('TrainerService', 'watchTraining'));
  method('importModel', GrpcStreamCall('ModelService', 'importModel'));
}

const services = {
  'jsigr.v1.ExplainerService': ExplainerServiceService,
  'jsigr.v1.TrainerService': TrainerServiceService,
  'jsigr.v1.ModelService': ModelServiceService,
};
let server: GrpcServer;
let explainer: ExplainerServiceClient;
let trainer: TrainerServiceClient;
let models: ModelServiceClient;

beforeAll(async () => {
  server = await startGrpcServer({ module: EchoModule, services, host: '127.0.0.1', port: 0 });
  explainer = connect(ExplainerServiceClient, server);
  trainer = connect(TrainerServiceClient, server);
  models = connect(ModelServiceClient, server);
});

afterAll(async () => {
  explainer.close();
  trainer.close();
  models.close();
  await server.close(0);
});

async function failureOf(work: Promise<unknown>): Promise<JsigrError> {
  return work.then(
    () => Promise.reject(new Error('it should have failed')),
    (error) => JsigrError.from(error),
  );
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}

async function readThrough(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of source);
}

const explain = (modelDigest: string) =>
  unary(explainer, 'explainImage', ExplainImageRequest.fromPartial({ modelDigest }));
const watch = (run: string, signal?: AbortSignal) =>
  serverStream(trainer, 'watchTraining', { run, afterSequence: 0 }, signal ? { signal } : {});

describe('unary calls', () => {
  test('answer', async () => {
    expect((await explain('abc')).response).toMatchObject({ predicted: 7, classNames: ['abc'] });
  });

  test('of bytes that are no message are the mistake of the caller', async () => {
    const client = new Client(server.address, credentials.createInsecure());
    const same = (bytes: Buffer) => bytes;
    const answer = new Promise((_, reject) => {
      client.makeUnaryRequest('/jsigr.v1.ExplainerService/ExplainImage', same, same, Buffer.from([0x0b]), reject);
    });
    expect(await failureOf(answer)).toMatchObject({ code: status.INVALID_ARGUMENT, reason: 'INVALID_ARGUMENT' });
    client.close();
  });

  test('carry all violations of a bad request', async () => {
    expect(await failureOf(explain('bad'))).toMatchObject({
      code: status.INVALID_ARGUMENT,
      reason: 'INVALID_ARGUMENT',
      violations: [
        { field: 'image', description: 'is empty' },
        { field: 'target', description: '12 given, 0..9 allowed' },
      ],
    });
  });

  test('say INTERNAL for a bug', async () => {
    expect(await failureOf(explain('bug'))).toMatchObject({ code: status.INTERNAL, reason: 'INTERNAL' });
  });

  test('refuse a message over the limit and go on', async () => {
    const request = ExplainImageRequest.fromPartial({
      request: { image: { source: { $case: 'encoded', value: Buffer.alloc(17 * 1024 * 1024) } } },
    });
    expect(await failureOf(unary(explainer, 'explainImage', request))).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    });
    expect((await explain('abc')).response?.predicted).toBe(7);
  });

  test('a call with an aborted signal is not made', async () => {
    const work = unary(explainer, 'explainImage', ExplainImageRequest.fromPartial({}), { signal: AbortSignal.abort() });
    expect((await failureOf(work)).code).toBe(status.CANCELLED);
  });
});

describe('server streams', () => {
  test('end after their last message', async () => {
    expect((await collect(watch('short'))).map(({ event }) => event?.sequence)).toEqual([1, 2, 3]);
  });

  test('fail with details before the first message', async () => {
    expect(await failureOf(collect(watch('refused')))).toMatchObject({
      code: status.FAILED_PRECONDITION,
      reason: 'NO_SUCH_RUN',
      hint: 'start it first',
    });
  });

  test('deliver what was written before an error', async () => {
    const got: number[] = [];
    const error = await failureOf(
      (async () => {
        for await (const { event } of watch('breaks')) got.push(event?.sequence ?? 0);
      })(),
    );
    expect([got, error.reason]).toEqual([[1, 2, 3], 'BROKEN']);
  });

  test('produce no more than fits between server and client while the client does not read', async () => {
    for await (const _ of watch('large')) break;
    await seen.returned;
    // 10,000 messages of 100 kB would be 1 GB; gRPC holds 16 messages and the HTTP/2 windows some more.
    expect(seen.produced).toBeLessThan(500);
  });

  test('a client that goes away ends a source that waits', async () => {
    const controller = new AbortController();
    const work = failureOf(collect(watch('silent', controller.signal)));
    await expect.poll(() => seen?.produced).toBe(0);
    controller.abort();
    expect((await work).code).toBe(status.CANCELLED);
    await seen.returned;
  });
});

test.each(['', 'jsigr.v1.TrainerService'])('health of "%s" is SERVING', async (service) => {
  const Health = makeGenericClientConstructor(healthService, 'grpc.health.v1.Health');
  const client = new Health(server.address, credentials.createInsecure()) as unknown as HealthClient;
  const answer = new Promise((resolve, reject) => {
    client.check({ service }, (error, response) => (error ? reject(error) : resolve(response.status)));
  });
  expect(await answer.finally(() => client.close())).toBe('SERVING');
});

interface HealthClient extends Client {
  check(request: { service: string }, callback: (error: Error | null, response: { status: string }) => void): void;
}

describe('client streams', () => {
  const data = Buffer.alloc(100_000);
  const chunk = ImportModelRequest.fromPartial({ message: { $case: 'chunk', value: { path: 'a', data } } });
  const description = ImportModelRequest.fromPartial({ message: { $case: 'description', value: {} } });

  test('are read to their end, and answered', async () => {
    async function* messages() {
      for (let i = 0; i < 50; i++) yield chunk;
    }
    expect((await upload(models, 'importModel', messages())).model?.classes).toBe(50);
  });

  test('end with details where they are refused, however much the client would still send', async () => {
    async function* messages() {
      yield description;
      while (true) yield chunk;
    }
    expect(await failureOf(upload(models, 'importModel', messages()))).toMatchObject({
      reason: 'INVALID_ARGUMENT',
      violations: [{ field: 'description' }],
    });
  });

  test('tell their handler when nobody waits for the response any more', async () => {
    [begun, abandoned] = [Promise.withResolvers(), Promise.withResolvers()];
    const call = models.importModel(() => {});
    call.write(ImportModelRequest.fromPartial({ message: { $case: 'chunk', value: { path: 'slow', data } } }));
    call.end();
    await begun.promise;
    call.cancel();
    await abandoned.promise;
  });

  test('that the client breaks off fail with its own error, and the server goes on', async () => {
    async function* messages() {
      yield chunk;
      throw new TypeError('the file cannot be read');
    }
    await expect(upload(models, 'importModel', messages())).rejects.toThrow('the file cannot be read');
    async function* whole() {
      yield chunk;
    }
    expect((await upload(models, 'importModel', whole())).model?.classes).toBe(1);
  });
});

test.each(['silent', 'large'])(
  'a server that stops tells calls that outlast their grace to come again (%s)',
  async (run) => {
    const stopping = await startGrpcServer({ module: EchoModule, services, host: '127.0.0.1', port: 0 });
    const client = connect(TrainerServiceClient, stopping);
    const before = seen;
    const work = failureOf(readThrough(serverStream(client, 'watchTraining', { run, afterSequence: 0 })));
    await expect.poll(() => seen !== before).toBe(true);
    await stopping.close(50);
    expect(await work).toMatchObject({ code: status.UNAVAILABLE, reason: 'SERVER_STOPPING' });
    await seen.returned;
    client.close();
  },
);

describe.each(['v1', 'v1alpha'])('reflection %s', (version) => {
  type Answer = {
    listServicesResponse?: { service: { name: string }[] };
    fileDescriptorResponse?: { fileDescriptorProto: Buffer[] };
    errorResponse?: { errorCode: number };
  };

  async function asked(question: Record<string, unknown>): Promise<Answer> {
    const path = `@grpc/reflection/build/proto/grpc/reflection/${version}/reflection.proto`;
    const definition = loadSync(createRequire(import.meta.url).resolve(path));
    const name = `grpc.reflection.${version}.ServerReflection`;
    const Reflection = makeGenericClientConstructor(definition[name] as ServiceDefinition, name);
    const client = new Reflection(server.address, credentials.createInsecure());
    const call = client.serverReflectionInfo?.() as ClientDuplexStream<unknown, unknown>;
    call.write(question);
    const [answer] = await once(call, 'data');
    call.end();
    await once(call.resume(), 'end');
    client.close();
    return answer;
  }

  test('lists what is served, and no more', async () => {
    const { listServicesResponse } = await asked({ listServices: '*' });
    expect(listServicesResponse?.service.map(({ name }) => name).sort()).toEqual([
      'grpc.health.v1.Health',
      'jsigr.v1.ExplainerService',
      'jsigr.v1.ModelService',
      'jsigr.v1.TrainerService',
    ]);
  });

  const wholes: [string, Record<string, string>, string][] = [
    ['a service', { fileContainingSymbol: 'jsigr.v1.ModelService' }, 'jsigr/v1/model.proto'],
    ['a method', { fileContainingSymbol: 'jsigr.v1.ModelService.GetModel' }, 'jsigr/v1/model.proto'],
    ['a message', { fileContainingSymbol: 'jsigr.v1.TrainingSpec' }, 'jsigr/v1/training.proto'],
    ['a file', { fileByFilename: 'google/protobuf/timestamp.proto' }, 'google/protobuf/timestamp.proto'],
    ['the health service', { fileContainingSymbol: 'grpc.health.v1.Health' }, 'grpc/health/v1/health.proto'],
  ];
  test.each(wholes)('describes %s, its own file first', async (_, question, file) => {
    const { fileDescriptorResponse } = await asked(question);
    expect(fileDescriptorResponse?.fileDescriptorProto[0]?.toString('latin1')).toContain(file);
  });

  test.each([
    { fileContainingSymbol: 'jsigr.v1.Nothing' },
    { fileContainingSymbol: 'constructor' },
    { fileByFilename: '__proto__' },
    { allExtensionNumbersOfType: 'toString' },
  ])('says NOT_FOUND of %o', async (question) => {
    expect((await asked(question)).errorResponse?.errorCode).toBe(status.NOT_FOUND);
  });
});

test('reflection waits for whoever asks and does not read', async () => {
  const implementations: Record<string, (call: unknown) => Promise<void>>[] = [];
  const addService = (_: ServiceDefinition, implementation: (typeof implementations)[0]) =>
    void implementations.push(implementation);
  addReflection({ addService } as unknown as Server, []);
  const written: unknown[] = [];
  const call = Object.assign(new PassThrough({ objectMode: true }), {
    write: (answer: unknown) => {
      written.push(answer);
      return false;
    },
  });
  await implementations[0]?.ServerReflectionInfo?.(call);
  for (let i = 0; i < 3; i++) call.push({ messageRequest: 'listServices', host: String(i) });
  for (let i = 1; i <= 3; i++) {
    await expect.poll(() => written.length).toBe(i);
    expect(call.isPaused()).toBe(true);
    call.emit('drain');
  }
});

test('a port in use is an error that names it', async () => {
  const port = Number(server.address.split(':')[1]);
  const error = await failureOf(startGrpcServer({ module: EchoModule, services, host: '127.0.0.1', port }));
  expect(error).toMatchObject({ reason: 'ADDRESS_UNAVAILABLE' });
  expect(error.message).toContain(`127.0.0.1:${port}`);
});
