import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import {
  classifierToOnnx,
  createClassifier,
  importModel,
  initialParameters,
  type ResolvedModelSpec,
  resolveModelSpec,
} from '@jsigr/models';
import { ExplainerServiceClient, ExplainImageRequest, ExplainRequest, type ExplainResponse } from '@jsigr/proto';
import {
  type ArtefactStore,
  type ComputeThread,
  connect,
  createLogger,
  directoryArtefactStore,
  type GrpcServer,
  JsigrError,
  Load,
  startGrpcServer,
  unary,
  type WorkerContext,
  WorkerDoor,
} from '@jsigr/service';
import { ComputeError } from '@jsigr/service/compute';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Explainer, overlayScaleOf } from './explainer.ts';
import { explainerWorker } from './index.ts';
import type { ExplainerMethods } from './methods.ts';
import { untrained } from './testing.ts';

const model = modelOf([6, 5, 1]);
let root: string;
let artefacts: ArtefactStore;
let digest: string;
/** The same network, exported to ONNX and imported again. */
let imported: string;
let server: GrpcServer;
let client: ExplainerServiceClient;
let context: WorkerContext;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-explainer-'));
  artefacts = directoryArtefactStore(root);
  digest = await stored(model);
  const onnx = classifierToOnnx(createClassifier(model, initialParameters(model, 1), 'exported'));
  imported = (await artefacts.put('models', await importModel({ 'model.onnx': onnx }))).digest;
  context = {
    artefacts,
    logger: createLogger('test'),
    compute: { threads: 1 },
    signal: new AbortController().signal,
    load: new Load(),
    stateMs: 0,
    silenceMs: 0,
    fencingToken: () => undefined,
    onDrain: () => {},
    door: new WorkerDoor(''),
  };
  const { module, services } = explainerWorker;
  server = await startGrpcServer({ module: module(context), services, host: '127.0.0.1', port: 0 });
  client = connect(ExplainerServiceClient, server);
});

afterAll(async () => {
  client.close();
  await server.close(0);
  await rm(root, { recursive: true, force: true });
});

function modelOf(input: [number, number, number]): ResolvedModelSpec {
  return resolveModelSpec({ architecture: 'mlp', input, classes: 3, activation: 'tanh' });
}

/** The digest of a checkpoint of the model, of its own for each seed. */
async function stored(model: ResolvedModelSpec, seed = 1): Promise<string> {
  return (await artefacts.put('models', untrained(model, seed))).digest;
}

const pixels = Float32Array.from({ length: 30 }, (_, i) => (i % 7) / 7);
const image = tensor([6, 5, 1], pixels);

function tensor(shape: number[], values = new Float32Array(shape.reduce((product, side) => product * side))) {
  return { source: { $case: 'tensor' as const, value: { shape, data: Buffer.from(values.buffer) } } };
}

type Request = Partial<ExplainRequest>;

async function explain(request: Request, modelDigest = digest): Promise<ExplainResponse> {
  const full = ExplainImageRequest.fromPartial({ modelDigest, classNames: ['a', 'b', 'c'] });
  full.request = { ...ExplainRequest.fromPartial({}), image, ...request };
  const { response } = await unary(client, 'explainImage', full);
  if (!response) throw new Error('no response');
  return response;
}

function floats({ attribution }: ExplainResponse): number[] {
  return [...new Float32Array(Uint8Array.from(attribution?.data ?? []).buffer)];
}

async function failureOf(work: Promise<unknown>): Promise<JsigrError> {
  return work.then(
    () => Promise.reject(new Error('it should have failed')),
    (error) => JsigrError.from(error),
  );
}

describe('an explanation', () => {
  test("has probabilities that sum to 1, the predicted class, and a map of the image's size", async () => {
    const response = await explain({});
    expect(response.probabilities.reduce((sum, each) => sum + each, 0)).toBeCloseTo(1, 12);
    expect(response.probabilities[response.predicted]).toBe(Math.max(...response.probabilities));
    expect(response.target).toBe(response.predicted);
    expect(response.attribution?.shape).toEqual([6, 5]);
    expect(floats(response)).toHaveLength(30);
    expect(response.classNames).toEqual(['a', 'b', 'c']);
    expect(response.overlay).toHaveLength(0);
  });

  test('of a gradient is the slope of the logit: a small step changes the log-odds as the map says', async () => {
    const at = 12;
    const [map2, map0] = [await explain({ target: 2 }), await explain({ target: 0 })].map(floats);
    const h = 1e-3;
    const logOdds = async (delta: number) => {
      const moved = pixels.slice();
      moved[at] = (moved[at] ?? 0) + delta;
      const { probabilities } = await explain({
        image: { source: { $case: 'tensor', value: { shape: [6, 5, 1], data: Buffer.from(moved.buffer) } } },
      });
      return Math.log((probabilities[2] ?? 0) / (probabilities[0] ?? 1));
    };
    const slope = ((await logOdds(h)) - (await logOdds(-h))) / (2 * h);
    expect(slope).toBeCloseTo((map2?.[at] ?? 0) - (map0?.[at] ?? 0), 2);
  });

  test('of an imported ONNX file is that of the network that the file was made of', async () => {
    const [ours, theirs] = [await explain({ target: 2 }), await explain({ target: 2 }, imported)].map(floats);
    expect(Math.max(...(ours ?? []).map(Math.abs))).toBeGreaterThan(0.01);
    ours?.forEach((value, i) => {
      expect(theirs?.[i]).toBeCloseTo(value, 5);
    });
  });

  test('by integrated gradients says how complete it is', async () => {
    const { checks } = await explain({ method: 'integrated-gradients', settings: { steps: '64' } });
    expect(checks.map(({ name }) => name)).toEqual(['completeness_gap']);
    expect(Math.abs(checks[0]?.value ?? 1)).toBeLessThan(0.05);
  });

  test('comes with an overlay of the asked size', async () => {
    const { overlay } = await explain({ overlay: true, overlayScale: 3 });
    const { width, height, format } = await sharp(overlay).metadata();
    expect([width, height, format]).toEqual([15, 18, 'png']);
  });

  test('of a PNG is that of its pixels', async () => {
    const bytes = Uint8Array.from({ length: 30 }, (_, i) => i * 8);
    const png = await sharp(bytes, { raw: { width: 5, height: 6, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    const data = Buffer.from(Float32Array.from(bytes, (byte) => byte / 255).buffer);
    const fromFile = await explain({ image: { source: { $case: 'encoded', value: png } } });
    const fromTensor = await explain({ image: { source: { $case: 'tensor', value: { shape: [6, 5, 1], data } } } });
    expect(floats(fromFile)).toEqual(floats(fromTensor));
  });

  test('is the same alone and among many that come at once', async () => {
    const alone = await explain({ target: 1, method: 'smoothgrad', settings: { samples: '4' }, seed: 5 });
    const many = await Promise.all(
      Array.from({ length: 6 }, (_, i) =>
        explain({ target: i === 3 ? 1 : i % 3, method: 'smoothgrad', settings: { samples: '4' }, seed: 5 }),
      ),
    );
    floats(many[3] ?? alone).forEach((value, i) => {
      expect(value).toBeCloseTo(floats(alone)[i] ?? Number.NaN, 5);
    });
  });
});

test('more models at once than fit are all explained', async () => {
  const digests = await Promise.all(Array.from({ length: 40 }, (_, seed) => stored(model, seed)));
  const answers = await Promise.all(digests.map((each) => explain({}, each)));
  expect(new Set(answers.map((answer) => floats(answer).join())).size).toBe(40);
});

describe('a model that was driven out of memory', () => {
  /** A thread that loses the model so many times before it answers. */
  const losing = (times: number) => {
    const asked: string[] = [];
    let left = times;
    const call = async (method: string) => {
      asked.push(method);
      if (method === 'describe') return undefined;
      if (method === 'load') return { input: model.input, classes: 3 };
      if (left-- > 0) throw new ComputeError('NOT_LOADED', 'the model is not loaded');
      return { predicted: 1, target: 1, probabilities: [], attribution: new Float32Array(30), checks: {} };
    };
    const thread = { call, close: async () => {} } as unknown as ComputeThread<ExplainerMethods>;
    const request = ExplainImageRequest.fromPartial({ modelDigest: digest, request: { image } });
    const answer = new Explainer(context, thread).explain(request, context.signal);
    return { asked, answer };
  };

  test('is loaded again', async () => {
    const { asked, answer } = losing(2);
    expect((await answer).predicted).toBe(1);
    const once = ['describe', 'load', 'explain'];
    expect(asked).toEqual([...once, ...once, ...once]);
  });

  test('again and again is given up', async () => {
    const { asked, answer } = losing(Number.POSITIVE_INFINITY);
    expect(await failureOf(answer)).toMatchObject({ code: status.UNAVAILABLE, reason: 'NOT_LOADED' });
    expect(asked.filter((method) => method === 'explain')).toHaveLength(4);
  });
});

describe('an overlay', () => {
  test('of an image of two channels is refused, and nothing else of it', async () => {
    const twoChannels = await stored(modelOf([4, 4, 2]));
    const request = { image: tensor([4, 4, 2]) };
    expect((await failureOf(explain({ ...request, overlay: true }, twoChannels))).violations).toEqual([
      { field: 'overlay', description: 'images of 2 channels cannot be drawn; 1 or 3 can' },
    ]);
    expect((await explain(request, twoChannels)).attribution?.shape).toEqual([4, 4]);
  });

  // Only imported models take images so large: the zoo's have at most 128 pixels a side.
  test.each([
    { input: [4, 128, 1], given: 0, scale: 8 },
    { input: [4, 128, 1], given: 32, scale: 32 },
    { input: [4, 600, 1], given: 0, scale: 6 },
    { input: [600, 4, 3], given: 6, scale: 6 },
    { input: [5000, 4, 1], given: 0, scale: 1 },
  ] as const)('of $input pixels at scale $given is drawn at $scale', ({ input, given, scale }) => {
    expect(overlayScaleOf({ overlay: true, overlayScale: given }, { input, classes: 3 })).toBe(scale);
  });

  test('of a large image is refused where it would not fit, if it is asked for', () => {
    const card = { input: [4, 600, 1], classes: 3 } as const;
    expect(() => overlayScaleOf({ overlay: true, overlayScale: 7 }, card)).toThrow(
      'overlayScale: 7 given, 1 to 6 allowed for images of 4x600',
    );
    expect(overlayScaleOf({ overlay: false, overlayScale: 7 }, card)).toBeUndefined();
  });

  test('that is refused spoils no other request', async () => {
    const twoChannels = await stored(modelOf([4, 4, 2]));
    const request = { image: tensor([4, 4, 2]) };
    const asked = [false, true, false].map((overlay) => explain({ ...request, overlay }, twoChannels));
    const answers = await Promise.allSettled(asked);
    expect(answers.map((answer) => answer.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });
});

describe('a bad request', () => {
  const cases: [name: string, request: Request, field: string][] = [
    ['an image of one byte', { image: { source: { $case: 'encoded', value: Buffer.of(7) } } }, 'image'],
    [
      'an image of another size',
      { image: { source: { $case: 'tensor', value: { shape: [5, 6, 1], data: image.source.value.data } } } },
      'image',
    ],
    ['a class that the model does not have', { target: 3 }, 'target'],
    ['an unknown method', { method: 'tea-leaves' }, 'method'],
    ['a setting out of range', { method: 'smoothgrad', settings: { samples: '-1' } }, 'settings.samples'],
    ['an unknown setting', { settings: { sugar: '2' } }, 'settings'],
    ['an overlay too large', { overlay: true, overlayScale: 33 }, 'overlayScale'],
  ];

  test.each(cases)('%s is refused by name', async (_name, request, field) => {
    const error = await failureOf(explain(request));
    expect([error.code, error.violations.map((violation) => violation.field)]).toEqual([
      status.INVALID_ARGUMENT,
      [field],
    ]);
  });

  test('an unknown model is NOT_FOUND', async () => {
    expect(await failureOf(explain({}, '0'.repeat(64)))).toMatchObject({
      code: status.NOT_FOUND,
      reason: 'MODEL_NOT_FOUND',
    });
  });

  test('and the explainer goes on', async () => {
    expect(floats(await explain({}))).toHaveLength(30);
  });
});
