import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as loader from '@grpc/proto-loader';

// Servers of the Open Inference Protocol that have nothing of ours: from the protocol's published definition.

/** Scores of a batch. */
interface Answer {
  readonly shape: readonly number[];
  readonly data: readonly number[];
  readonly datatype?: string;
  /** Over HTTP: the numbers as they are written, in place of `data`. */
  readonly text?: string;
}

export interface InferenceModel {
  /** [-1, height, width, channels], as the metadata say it. */
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly score: (image: Float32Array) => readonly number[];
  /** What is answered instead of the scores; for servers that lie. */
  readonly distort?: (answer: Answer) => Answer;
}

export interface InferenceServer {
  /** The model's address, as it is given to `jsigr models import`. */
  readonly url: string;
  /** Images that were asked about, and requests for scores, those that failed included. */
  readonly seen: { images: number; requests: number };
  /** So many of the next requests fail as if the server were busy. */
  busy: number;
  /** After so many requests all fail as if the server were busy. */
  busyAfter: number;
  /** So many of the next answers break off in the middle; over HTTP. */
  cut: number;
  /** Requests are taken and never answered. */
  silent: boolean;
  readonly close: () => Promise<void>;
}

const NAME = 'shapes';

function answerTo(model: InferenceModel, data: Float32Array): Answer {
  const size = model.inputShape.slice(1).reduce((product, side) => product * side, 1);
  const count = data.length / size;
  const scores = Array.from({ length: count }, (_, i) => model.score(data.slice(i * size, (i + 1) * size)));
  const answer = { shape: [count, model.classes], data: scores.flat(), datatype: 'FP32' };
  return model.distort?.(answer) ?? answer;
}

function metadataOf({ inputShape, classes }: InferenceModel) {
  return {
    name: NAME,
    versions: ['1'],
    platform: 'test',
    inputs: [{ name: 'images', datatype: 'FP32', shape: inputShape }],
    outputs: [{ name: 'scores', datatype: 'FP32', shape: [-1, classes] }],
  };
}

function stateOf() {
  return {
    url: '',
    seen: { images: 0, requests: 0 },
    busy: 0,
    cut: 0,
    busyAfter: Number.POSITIVE_INFINITY,
    silent: false,
  };
}

/** @param port of another one before it, whose place it takes */
export async function startHttpInference(model: InferenceModel, port = 0): Promise<InferenceServer> {
  const server = createServer((request, response) => void answer(request, response));
  const state = stateOf();

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (state.silent) return;
    const send = (code: number, body: unknown) => {
      response.writeHead(code, { 'content-type': 'application/json' });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    };
    if (request.method === 'GET' && request.url === `/v2/models/${NAME}`) return send(200, metadataOf(model));
    if (request.url !== `/v2/models/${NAME}/infer`) return send(404, { error: `unknown model at ${request.url}` });
    state.seen.requests++;
    if (state.busy > 0 || state.seen.requests > state.busyAfter) {
      state.busy--;
      return send(503, { error: 'busy' });
    }
    const { inputs } = JSON.parse(Buffer.concat(chunks).toString()) as {
      inputs: { data: number[]; shape: number[] }[];
    };
    state.seen.images += inputs[0]?.shape[0] ?? 0;
    if (state.cut > 0) {
      state.cut--;
      response.writeHead(200, { 'content-length': 1000 });
      return void response.write('{"outputs": [', () => request.socket.destroy());
    }
    const { shape, data, datatype, text } = answerTo(model, Float32Array.from(inputs[0]?.data ?? []));
    const output = JSON.stringify({ name: 'scores', datatype, shape, data: text === undefined ? data : [] });
    send(200, `{"outputs": [${text === undefined ? output : output.replace('"data":[]', `"data":${text}`)}]}`);
  }

  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address();
  const bound = typeof address === 'object' ? address?.port : 0;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return Object.assign(state, { url: `http://127.0.0.1:${bound}/v2/models/${NAME}`, close });
}

interface GrpcRequest {
  readonly model_name: string;
  readonly inputs: readonly { readonly shape: readonly number[] }[];
  readonly raw_input_contents: readonly Buffer[];
}

/** @param raw answer with bytes instead of lists of numbers; the protocol allows both */
export async function startGrpcInference(model: InferenceModel, { raw = true } = {}): Promise<InferenceServer> {
  const file = fileURLToPath(new URL('./proto/open_inference.proto', import.meta.url));
  const definition = loader.loadSync(file, {
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  const { inference } = grpc.loadPackageDefinition(definition) as unknown as {
    inference: { GRPCInferenceService: { service: grpc.ServiceDefinition } };
  };
  const state = stateOf();
  const server = new grpc.Server();
  type Done = (error: Partial<grpc.ServiceError> | null, response?: unknown) => void;
  server.addService(inference.GRPCInferenceService.service, {
    modelMetadata: ({ request }: { request: { name: string } }, done: Done) => {
      if (state.silent) return;
      if (request.name !== NAME) return done({ code: grpc.status.NOT_FOUND, details: `no model ${request.name}` });
      done(null, metadataOf(model));
    },
    modelInfer: ({ request }: { request: GrpcRequest }, done: Done) => {
      if (state.silent) return;
      state.seen.requests++;
      if (state.busy > 0 || state.seen.requests > state.busyAfter) {
        state.busy--;
        return done({ code: grpc.status.UNAVAILABLE, details: 'busy' });
      }
      state.seen.images += request.inputs[0]?.shape[0] ?? 0;
      const bytes = request.raw_input_contents[0] ?? Buffer.alloc(0);
      const { shape, data, datatype } = answerTo(model, new Float32Array(new Uint8Array(bytes).buffer));
      const numbers = Float32Array.from(data);
      done(null, {
        outputs: [{ name: 'scores', datatype, shape, ...(raw ? {} : { contents: { fp32_contents: [...data] } }) }],
        raw_output_contents: raw ? [Buffer.from(numbers.buffer)] : [],
      });
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return Object.assign(state, { url: `grpc://127.0.0.1:${port}/${NAME}`, close: async () => server.forceShutdown() });
}
