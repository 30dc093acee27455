import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import {
  type StreamCheckpointsRequest,
  type StreamCheckpointsResponse,
  TrainerServiceClient,
  type TrainerServiceServer,
  TrainerServiceService,
} from '@jsigr/proto';
import { artefactDigest, connect, JsigrError, pump, sha256, unavailable } from '@jsigr/service';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type PulledCheckpoint, pullCheckpoints } from './pull.ts';

type Part = NonNullable<StreamCheckpointsResponse['part']>;
/** What the trainer answers to the first call, the second, ... */
type Script = (request: StreamCheckpointsRequest) => (Part | Error)[];

const weights = Buffer.from('0123456789');
const manifest = Buffer.from('{}');
const files = [
  { path: 'manifest.json', sizeBytes: 2, sha256: sha256(manifest) },
  { path: 'weights.safetensors', sizeBytes: 10, sha256: sha256(weights) },
];
const digest = artefactDigest(files);

const header = (sequence: number, skipped: number[] = []): Part => ({
  $case: 'header',
  value: { sequence, model: `models/${digest}`, step: 1, epoch: 1, files, skipped },
});
const chunk = (path: string, offset: number, data: Buffer): Part => ({ $case: 'chunk', value: { path, offset, data } });
const end = (sequence: number): Part => ({ $case: 'endOfCheckpoint', value: sequence });
const whole = (sequence: number): Part[] => [
  header(sequence),
  chunk('manifest.json', 0, manifest),
  chunk('weights.safetensors', 0, weights),
  end(sequence),
];
const broken = unavailable('BROKEN', 'the connection broke');

let server: Server;
let client: TrainerServiceClient;
let scripts: Script[];
let requests: Pick<StreamCheckpointsRequest, 'afterSequence' | 'path' | 'readOffset'>[];

beforeEach(async () => {
  scripts = [];
  requests = [];
  server = new Server();
  const trainer: Pick<TrainerServiceServer, 'streamCheckpoints'> = {
    streamCheckpoints: (call) => {
      const { afterSequence, path, readOffset } = call.request;
      requests.push({ afterSequence, path, readOffset });
      const parts = scripts.shift()?.(call.request) ?? [];
      void pump(call, parts$(parts));
    },
  };
  server.addService(TrainerServiceService, trainer as TrainerServiceServer);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  client = connect(TrainerServiceClient, { address: `127.0.0.1:${port}` });
});

afterEach(() => {
  client.close();
  server.forceShutdown();
});

async function* parts$(parts: (Part | Error)[]): AsyncGenerator<StreamCheckpointsResponse> {
  for (const part of parts) {
    if (part instanceof Error) throw part;
    yield { part };
  }
}

async function pullAll(): Promise<PulledCheckpoint[]> {
  const pulled: PulledCheckpoint[] = [];
  const options = { run: 'trainingRuns/a', signal: new AbortController().signal, wait: async () => {} };
  for await (const checkpoint of pullCheckpoints(client, options)) pulled.push(checkpoint);
  return pulled;
}

async function failureOf(work: Promise<unknown>): Promise<JsigrError> {
  return work.then(
    () => Promise.reject(new Error('it should have failed')),
    (error) => JsigrError.from(error),
  );
}

describe('pulling checkpoints', () => {
  test('gives each with its files, until the stream ends', async () => {
    scripts = [() => [...whole(1), ...whole(3)]];
    const pulled = await pullAll();
    expect(pulled.map(({ sequence, digest }) => [sequence, digest])).toEqual([
      [1, digest],
      [3, digest],
    ]);
    expect(pulled[1]?.files).toEqual({ 'manifest.json': manifest, 'weights.safetensors': weights });
  });

  test('goes on at the byte where the connection broke', async () => {
    scripts = [
      () => [
        ...whole(1),
        header(4, [2, 3]),
        chunk('manifest.json', 0, manifest),
        chunk('weights.safetensors', 0, weights.subarray(0, 6)),
        broken,
      ],
      () => [header(4), chunk('weights.safetensors', 6, weights.subarray(6)), end(4)],
    ];
    expect((await pullAll()).map(({ sequence }) => sequence)).toEqual([1, 4]);
    expect(requests).toEqual([
      { afterSequence: 0, path: '', readOffset: 0 },
      { afterSequence: 3, path: 'weights.safetensors', readOffset: 6 },
    ]);
  });

  test('fetches again from its start what was damaged on its way', async () => {
    scripts = [
      () => [
        header(1),
        chunk('manifest.json', 0, manifest),
        chunk('weights.safetensors', 0, Buffer.from('x123456789')),
        end(1),
      ],
      () => whole(1),
    ];
    expect((await pullAll()).map(({ sequence }) => sequence)).toEqual([1]);
    expect(requests[1]).toEqual({ afterSequence: 0, path: '', readOffset: 0 });
  });

  test.each([
    [
      'a gap',
      [header(1), chunk('manifest.json', 0, manifest), chunk('weights.safetensors', 3, weights.subarray(3)), end(1)],
    ],
    ['more bytes than announced', [header(1), chunk('manifest.json', 0, Buffer.alloc(5))]],
    ['a file that nobody announced', [header(1), chunk('manifest.json', 0, manifest), chunk('passwords', 0, manifest)]],
    ['an end before the end', [header(1), chunk('manifest.json', 0, manifest), end(1)]],
  ] as [string, Part[]][])('gives up after a few attempts on a trainer that sends %s', async (_name, parts) => {
    scripts = Array.from({ length: 20 }, () => () => parts);
    expect(await failureOf(pullAll())).toMatchObject({ code: status.DATA_LOSS, reason: 'CHECKPOINT_DAMAGED' });
  });

  test('gives up on a trainer that cannot be reached', async () => {
    scripts = Array.from({ length: 20 }, () => () => [broken]);
    expect(await failureOf(pullAll())).toMatchObject({ code: status.UNAVAILABLE });
    expect(requests).toHaveLength(6);
  });

  test('does not try again what a new connection cannot heal', async () => {
    scripts = [() => [new JsigrError({ code: status.NOT_FOUND, reason: 'TRAINING_RUN_NOT_FOUND', message: 'no run' })]];
    expect(await failureOf(pullAll())).toMatchObject({ code: status.NOT_FOUND });
    expect(requests).toHaveLength(1);
  });
});
