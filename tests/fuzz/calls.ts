import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { ServedGateway } from '@jsigr/gateway/testing';
import fc from 'fast-check';
import { type ContractMethod, loadContract, messages, methodsOf, wire } from './messages.ts';
import type { Target } from './target.ts';
import { texts } from './texts.ts';

/** Longer than this no answer takes; what takes longer hangs. */
const DEADLINE_MS = 20_000;
/** What a server says when it did not expect something. */
const UNEXPECTED: readonly status[] = [status.INTERNAL, status.UNKNOWN, status.DATA_LOSS, status.DEADLINE_EXCEEDED];
/** A stream that goes on is an answer, and so is one that waits for something: each is listened to for a moment. */
const LISTEN_MS = 5;
const SILENCE_MS = 300;

const plain = (bytes: Buffer) => bytes;

/** Every method that a server answers, by its descriptor. @param token shown with every call of WorkerRegistryService */
export function grpcTargets(
  address: string,
  served: (method: string) => boolean,
  names: readonly string[],
  token = '',
): Target[] {
  const client = new Client(address, credentials.createInsecure());
  return methodsOf(loadContract())
    .filter(({ name }) => served(name))
    .map((method) => ({
      name: `gRPC ${method.name}`,
      input: fc.array(wire(method.request, names), { minLength: 1, maxLength: method.requestStream ? 4 : 1 }),
      async check(requests: Buffer[]) {
        const { code, details } = await call(client, method, requests, token);
        if (UNEXPECTED.includes(code)) throw new Error(`${status[code]}: ${details}`);
        return status[code];
      },
      close: () => client.close(),
    })) as Target[];
}

function call(
  client: Client,
  method: ContractMethod,
  requests: readonly Buffer[],
  token: string,
): Promise<{ code: status; details: string }> {
  const { name, requestStream, responseStream } = method;
  const metadata = new Metadata();
  if (token) metadata.set('authorization', `Bearer ${token}`);
  const options = { deadline: Date.now() + DEADLINE_MS };
  const path = `/${name}`;
  const [first = Buffer.alloc(0)] = requests;
  return new Promise((resolve) => {
    const done = (error?: Partial<ServiceError> | null) =>
      resolve({ code: error?.code ?? status.OK, details: error?.details ?? '' });
    if (requestStream) {
      const upload = client.makeClientStreamRequest(path, plain, plain, metadata, options, done);
      for (const request of requests) upload.write(request);
      upload.end();
    } else if (responseStream) {
      const stream = client.makeServerStreamRequest(path, plain, plain, first, metadata, options);
      const silence = setTimeout(() => stream.cancel(), SILENCE_MS);
      stream.once('data', () => setTimeout(() => stream.cancel(), LISTEN_MS));
      stream.on('data', () => {});
      stream.on('error', (error) => {
        clearTimeout(silence);
        done(error);
      });
      stream.on('end', () => done());
    } else client.makeUnaryRequest(path, plain, plain, first, metadata, options, done);
  });
}

interface HttpInput {
  readonly path: readonly string[];
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

/** Every route; the bodies are those of the method that it serves, and things that are none. */
export function httpTargets({ httpAddress, routes, names }: ServedGateway): Target[] {
  const methods = new Map(methodsOf(loadContract()).map((method) => [method.name, method]));
  return routes.map(({ route, serves }) => {
    const [verb = '', pattern = ''] = route.replaceAll('\\', '').split(' ');
    const type = methods.get(serves)?.request;
    const text = texts(names);
    const input: fc.Arbitrary<HttpInput> = fc.record({
      path: fc.array(text, { minLength: 2, maxLength: 2 }),
      query: fc.dictionary(
        fc.oneof(
          fc.constantFrom('page_size', 'page_token', 'read_offset', 'after_sequence', 'training_run', 'etag'),
          text,
        ),
        fc.oneof(fc.integer().map(String), text),
        { maxKeys: 3 },
      ),
      body: fc.oneof(
        { weight: 4, arbitrary: type ? messages(type, names) : fc.constant({}) },
        { weight: 1, arbitrary: fc.jsonValue() },
        { weight: 1, arbitrary: fc.string() },
      ),
      headers: fc.dictionary(
        fc.constantFrom('last-event-id', 'accept', 'authorization', 'range', 'if-none-match'),
        fc.string({ maxLength: 30 }).map((value) => value.replace(/[^\x20-\x7e]/g, '')),
        { maxKeys: 2 },
      ),
    });
    return {
      name: `HTTP ${route}`,
      input,
      async check({ path, query, body, headers }: HttpInput) {
        const [one, two] = [encoded(path[0]?.split('/').at(-1) ?? ''), encoded(path[1] ?? '')];
        const parameters = new URLSearchParams(query);
        const url = `http://${httpAddress}${pattern.replace(/:(id|digest)/, one || 'x').replace(':path', two || 'x')}?${parameters}`;
        const signal = AbortSignal.timeout(DEADLINE_MS);
        const controller = new AbortController();
        const response = await fetch(url, {
          method: verb,
          headers: { ...(verb === 'POST' ? { 'content-type': 'application/json' } : {}), ...headers },
          ...(verb === 'POST' ? { body: typeof body === 'string' ? body : JSON.stringify(body, bytes) } : {}),
          signal: AbortSignal.any([signal, controller.signal]),
        });
        const { status } = response;
        if (response.headers.get('content-type') === 'text/event-stream') controller.abort();
        else if (status >= 500 && status !== 503) throw new Error(`${status}: ${await response.text()}`);
        else await response.arrayBuffer();
        return String(status);
      },
    } as unknown as Target;
  });
}

/** Lone surrogates cannot stand in a URL. */
function encoded(text: string): string {
  return encodeURIComponent(Buffer.from(text).toString()).slice(0, 2000);
}

function bytes(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}
