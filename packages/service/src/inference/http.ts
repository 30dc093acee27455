import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import * as z from 'zod';
import type { AddressGuard, EndpointAddress } from './address.ts';
import { clipped, type ModelMetadata, Passing, type Transport, wrongAnswer } from './transport.ts';

/** The largest answer that is read, in bytes. */
const LARGEST_ANSWER = 64 * 1024 * 1024;
/** Errors that servers give when they are busy or restarting. */
const PASSING: readonly number[] = [408, 425, 429, 500, 502, 503, 504];

/** Of a tensor. */
const MOST_AXES: number = 16;
const shapeSchema = z.array(z.coerce.number().int()).max(MOST_AXES);
const tensorSchema = z.object({ name: z.string(), datatype: z.string(), shape: shapeSchema });
const metadataSchema = z.object({ inputs: z.array(tensorSchema), outputs: z.array(tensorSchema) });
const answerSchema = z.object({
  outputs: z.array(tensorSchema.extend({ data: z.array(z.unknown()) })).min(1),
});

/** The protocol over HTTP and JSON. Redirects are not followed, proxies are not used: what was checked is what is connected to. */
export function httpTransport(address: EndpointAddress, guard: AddressGuard): Transport {
  const { model, version, prefix } = address;
  const path = `${prefix}/v2/models/${encodeURIComponent(model)}${version && `/versions/${encodeURIComponent(version)}`}`;
  return {
    metadata: async (signal): Promise<ModelMetadata> =>
      parsed(metadataSchema, await exchange(address, guard, { path, signal }), 'metadata'),
    infer: async ({ input, output, shape, data }, signal) => {
      const body = JSON.stringify({
        inputs: [{ name: input, datatype: 'FP32', shape, data: Array.from(data) }],
        outputs: [{ name: output }],
      });
      const answer = await exchange(address, guard, { path: `${path}/infer`, body, signal });
      const { outputs } = parsed(answerSchema, answer, 'scores');
      const found = outputs.find(({ name }) => name === output);
      if (!found) throw wrongAnswer(`it gave no '${output}', but ${outputs.map(({ name }) => name).join(', ')}`);
      // Flat, or nested as the shape is; what is no number is seen when it is checked.
      return { ...found, data: (found.data.flat(MOST_AXES) as unknown[]).map(toNumber) };
    },
    close: () => {},
  };
}

interface Exchange {
  readonly path: string;
  readonly body?: string;
  readonly signal: AbortSignal;
}

async function exchange(
  address: EndpointAddress,
  guard: AddressGuard,
  { path, body, signal }: Exchange,
): Promise<string> {
  const { isSecure, host, port } = address;
  const connected = await guard.resolve(host);
  const name = isIP(host) === 6 ? `[${host}]` : host;
  const headers = {
    host: `${name}:${port}`,
    accept: 'application/json',
    ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  };
  const method = body === undefined ? 'GET' : 'POST';
  const options = { host: connected, port, path, method, headers, signal };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = isSecure
      ? httpsRequest({ ...options, ...(isIP(host) ? {} : { servername: host }) }, resolve)
      : httpRequest(options, resolve);
    sent.on('error', (error: NodeJS.ErrnoException) => reject(signal.aborted ? signal.reason : passing(error)));
    sent.end(body);
  });
  const text = await readAll(response).catch((error) => {
    throw signal.aborted ? signal.reason : error;
  });
  const { statusCode = 0 } = response;
  if (statusCode === 200) return text;
  const said = `it answered with HTTP status ${statusCode}: ${clipped(text) || '(nothing)'}`;
  if (PASSING.includes(statusCode)) throw new Passing(said, 1000 * (Number(response.headers['retry-after']) || 0));
  throw wrongAnswer(said);
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      chunks.push(chunk);
      if (size > LARGEST_ANSWER) break;
    }
  } catch {
    throw new Passing('the connection broke in the middle of its answer');
  }
  if (size > LARGEST_ANSWER) throw wrongAnswer(`its answer has more than ${LARGEST_ANSWER} bytes`);
  return Buffer.concat(chunks).toString();
}

function passing(error: NodeJS.ErrnoException): Passing {
  return new Passing(`the connection failed (${error.code ?? error.message})`);
}

function parsed<T>(schema: z.ZodType<T>, text: string, what: string): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw wrongAnswer(`its ${what} are no JSON: ${clipped(text)}`);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw wrongAnswer(`its ${what} are not those of the protocol: ${issue?.path.join('.')}: ${issue?.message}`);
}

function toNumber(value: unknown): number {
  return typeof value === 'number' ? value : Number.NaN;
}
