import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as loader from '@grpc/proto-loader';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayProcess, workersOf } from './support/gateway-process.ts';

// A client that has nothing but the .proto files: grpc-js and proto-loader, none of our code.
type Message = Record<string, unknown>;
interface Client {
  unary(method: string, request: Message): Promise<Message>;
  stream(method: string, request: Message): grpc.ClientReadableStream<Message>;
}

const directory = fileURLToPath(new URL('../proto', import.meta.url));
const gateway = new GatewayProcess();
const open: grpc.Client[] = [];

function connect(service: string, file: string): Client {
  const definition = loader.loadSync(`jsigr/v1/${file}.proto`, {
    includeDirs: [directory],
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  const constructors = grpc.loadPackageDefinition(definition) as unknown as {
    jsigr: { v1: Record<string, grpc.ServiceClientConstructor> };
  };
  const Constructor = constructors.jsigr.v1[service];
  if (!Constructor) throw new Error(`no ${service} in ${file}.proto`);
  const client = new Constructor(gateway.grpcAddress, grpc.credentials.createInsecure());
  open.push(client);
  // biome-ignore lint/suspicious/noExplicitAny: proto-loader's clients have no static types
  const methods = client as any;
  return {
    unary: (method, request) =>
      new Promise((resolve, reject) =>
        methods[method](request, (error: unknown, response: Message) => (error ? reject(error) : resolve(response))),
      ),
    stream: (method, request) => methods[method](request),
  };
}

interface Event {
  sequence: number;
  payload: string;
  stateChanged?: { state: string; reason: string };
  checkpointSaved?: { model: string };
  robustnessReported?: {
    masking: string;
    cleanAccuracy: { value: number; lower: number; upper: number; trials: number };
  };
}

/** Events until `stop` says enough or the stream ends. */
async function follow(
  client: Client,
  name: string,
  afterSequence: number,
  stop: (event: Event) => boolean = () => false,
) {
  const call = client.stream('watchTrainingRun', { name, afterSequence });
  const events: Event[] = [];
  try {
    for await (const { event } of call as AsyncIterable<{ event: Event }>) {
      events.push(event);
      if (stop(event)) break;
    }
  } catch (error) {
    if ((error as grpc.ServiceError).code !== grpc.status.CANCELLED) throw error;
  } finally {
    call.cancel();
  }
  return events;
}

const spec = (overrides: Message = {}) => ({
  dataset: 'datasets/glyphs',
  architecture: 'mlp',
  objective: 'jsigr',
  epochs: 2,
  batchSize: 64,
  seed: 7,
  loop: {
    enabled: true,
    feedback: 'FEEDBACK_SELECT',
    plan: {
      attacks: [
        { attack: 'fgsm', epsilons: [0.1] },
        { attack: 'mi-fgsm', epsilons: [0.1] },
      ],
      samples: 100,
      part: 'held-out',
    },
  },
  ...overrides,
});

beforeAll(async () => {
  await gateway.start();
}, 60_000);

afterAll(async () => {
  for (const client of open) client.close();
  await gateway[Symbol.asyncDispose]();
});

describe('a client with nothing but the .proto files', () => {
  let model = '';

  it('creates a run, follows it to the end, reconnects in the middle and misses no event', async () => {
    const training = connect('TrainingService', 'training');
    const request = { spec: spec(), requestId: 'scenario-1', displayName: 'foreign client' };
    const { trainingRun } = (await training.unary('createTrainingRun', request)) as { trainingRun: { name: string } };
    expect(trainingRun.name).toMatch(/^trainingRuns\//);

    const again = (await training.unary('createTrainingRun', request)) as { trainingRun: { name: string } };
    expect(again.trainingRun.name).toBe(trainingRun.name);

    const first = await follow(training, trainingRun.name, 0, (event) => event.payload === 'checkpointSaved');
    const last = first.at(-1)?.sequence ?? 0;
    const rest = await follow(training, trainingRun.name, last);
    const events = [...first, ...rest];

    expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
    expect(events.at(-1)?.stateChanged).toMatchObject({ state: 'RUN_STATE_SUCCEEDED' });
    expect(await follow(training, trainingRun.name, 0)).toEqual(events);

    const reports = events.flatMap((event) => event.robustnessReported ?? []);
    expect(reports.length).toBeGreaterThan(0);
    for (const { masking, cleanAccuracy } of reports) {
      expect(masking).toBe('MASKING_VERDICT_NOT_ASSESSED');
      expect(cleanAccuracy.trials).toBe(100);
      expect(cleanAccuracy.lower).toBeLessThan(cleanAccuracy.value);
      expect(cleanAccuracy.upper).toBeGreaterThanOrEqual(cleanAccuracy.value);
    }
    const { trainingRun: done } = (await training.unary('getTrainingRun', { name: trainingRun.name })) as {
      trainingRun: { bestModel: string; state: string; lastSequence: number };
    };
    expect(done).toMatchObject({ state: 'RUN_STATE_SUCCEEDED', lastSequence: events.length });
    model = done.bestModel;
  }, 240_000);

  it('reads the checkpoint back byte for byte, also from the middle', async () => {
    const models = connect('ModelService', 'model');
    const { model: found } = (await models.unary('getModel', { name: model })) as {
      model: { files: { path: string; sizeBytes: number; sha256: string }[] };
    };
    expect(found.files.map((file) => file.path).sort()).toContain('weights.safetensors');
    for (const { path, sizeBytes, sha256 } of found.files) {
      const read = async (readOffset: number) => {
        const parts: Buffer[] = [];
        for await (const { data } of models.stream('readModelFile', {
          name: model,
          path,
          readOffset,
        }) as AsyncIterable<{ data: Buffer }>)
          parts.push(data);
        return Buffer.concat(parts);
      };
      const whole = await read(0);
      expect(whole.length).toBe(sizeBytes);
      expect(createHash('sha256').update(whole).digest('hex')).toBe(sha256);
      const middle = Math.floor(sizeBytes / 2);
      expect((await read(middle)).equals(whole.subarray(middle))).toBe(true);
    }
  });

  it('asks why: a prediction, its probabilities, the map and the picture', async () => {
    const explanations = connect('ExplanationService', 'explanation');
    const response = (await explanations.unary('explain', {
      model,
      image: { sample: { dataset: 'datasets/glyphs', part: 'test', index: 3 } },
      method: 'gradient',
      overlay: true,
    })) as {
      probabilities: number[];
      predicted: number;
      attribution: { shape: number[]; data: Buffer };
      overlay: Buffer;
    };
    expect(response.probabilities).toHaveLength(10);
    expect(response.probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
    expect(response.predicted).toBe(response.probabilities.indexOf(Math.max(...response.probabilities)));
    expect(response.attribution.shape).toEqual([28, 28]);
    expect(response.attribution.data.length).toBe(28 * 28 * 4);
    expect(response.overlay.subarray(1, 4).toString()).toBe('PNG');
  });

  it('cancels another run', async () => {
    const training = connect('TrainingService', 'training');
    const { trainingRun } = (await training.unary('createTrainingRun', { spec: spec({ epochs: 500 }) })) as {
      trainingRun: { name: string };
    };
    await follow(training, trainingRun.name, 0, (event) => event.payload === 'trainingProgress');
    await training.unary('cancelTrainingRun', { name: trainingRun.name });
    const events = await follow(training, trainingRun.name, 0);
    expect(events.at(-1)?.stateChanged).toMatchObject({ state: 'RUN_STATE_CANCELLED' });
  }, 120_000);

  it('gets one error that names the field and the known names', async () => {
    const training = connect('TrainingService', 'training');
    const attempt = training.unary('createTrainingRun', { spec: spec({ architecture: 'resnet9000' }) });
    await expect(attempt).rejects.toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
      details: expect.stringMatching(/architecture.*resnet9000.*lenet/s),
    });
  });

  it('leaves no process behind when the gateway is told to go', async () => {
    expect(await gateway.stop()).toBe(0);
    expect(await workersOf(gateway.data)).toEqual([]);
  });
});
