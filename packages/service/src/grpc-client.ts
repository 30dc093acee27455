import { type EventEmitter, once } from 'node:events';
import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  credentials,
  InterceptingCall,
  type Interceptor,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { invalidArgument, JsigrError } from './errors.ts';
import './grpc-errors.ts';
import type { ClientTls } from './tls.ts';
import { tracedCalls } from './traced-calls.ts';
import { isTracing } from './tracing.ts';

/** Largest message that any server or client of the platform takes, in bytes: an image of 8 MiB and its envelope, with room. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** What a server may send before a client has read it: with HTTP/2's own 64 KiB a large file waits for the network's delay again and again. */
const WINDOW_BYTES = 1024 * 1024;

export type ClientClass<C extends Client> = new (
  address: string,
  credentials: ChannelCredentials,
  options?: Partial<ClientOptions>,
) => C;

/** A server, and what it takes to be let in. */
export interface Peer {
  /** host:port */
  readonly address: string;
  /** Goes with every call, as a bearer token. */
  readonly token?: string;
  /** Absent: the connection is not encrypted. */
  readonly tls?: ClientTls | undefined;
  /** Called at each answer. */
  readonly onAnswer?: () => void;
}

/**
 * A client of a server; connects at the first call. Close it (`client.close()`) when done.
 * @throws JsigrError INVALID_ARGUMENT for a token that cannot be sent
 */
export function connect<C extends Client>(
  Class: ClientClass<C>,
  { address, token, tls, onAnswer }: Peer,
  options: Partial<ClientOptions> = {},
): C {
  // A secret even where it is a wrong one: it is not repeated.
  if (token && !/^[\x21-\x7e]+$/.test(token)) throw invalidArgument('token', 'is no word of printable characters');
  return new Class(address, tls?.credentials ?? credentials.createInsecure(), {
    ...(tls?.serverName ? { 'grpc.ssl_target_name_override': tls.serverName } : {}),
    interceptors: [
      ...(token ? [bearing(token)] : []),
      ...(onAnswer ? [hearing(onAnswer)] : []),
      ...(isTracing() ? [tracedCalls] : []),
    ],
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
    'grpc-node.flow_control_window': WINDOW_BYTES,
    // A server that restarts on its port is found again within a second, not after the default of two minutes.
    'grpc.max_reconnect_backoff_ms': 1000,
    'grpc.initial_reconnect_backoff_ms': 100,
    ...options,
  });
}

function bearing(token: string): Interceptor {
  return (options, next) =>
    new InterceptingCall(next(options), {
      start(metadata, listener, forward) {
        const own = metadata.clone();
        own.set('authorization', `Bearer ${token}`);
        forward(own, listener);
      },
    });
}

function hearing(onAnswer: () => void): Interceptor {
  return (options, next) =>
    new InterceptingCall(next(options), {
      start(metadata, _, forward) {
        forward(metadata, {
          onReceiveMessage(message, pass) {
            // Where a call failed the message is null.
            if (message) onAnswer();
            pass(message);
          },
        });
      },
    });
}

type Callback<Response> = (error: ServiceError | null, response: Response) => void;
type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: Callback<Response>,
) => ClientUnaryCall;
type StreamMethod<Request, Response> = (
  request: Request,
  metadata?: Metadata,
  options?: Partial<CallOptions>,
) => ClientReadableStream<Response>;

type UploadMethod<Request, Response> = (
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: Callback<Response>,
) => ClientWritableStream<Request>;

type UploadTypes<C, M extends keyof C> =
  C[M] extends UploadMethod<infer Request, infer Response> ? [Request, Response] : never;
type UnaryTypes<C, M extends keyof C> =
  C[M] extends UnaryMethod<infer Request, infer Response> ? [Request, Response] : never;
type StreamTypes<C, M extends keyof C> =
  C[M] extends StreamMethod<infer Request, infer Response> ? [Request, Response] : never;

export interface UnaryOptions {
  /** Milliseconds from now after which the call fails with DEADLINE_EXCEEDED; none by default. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  readonly metadata?: Metadata;
}

/** One call. @throws JsigrError, decoded from the status details where there are any; CANCELLED when the signal is aborted. */
export function unary<C extends Client, M extends keyof C & string>(
  client: C,
  method: M,
  request: UnaryTypes<C, M>[0],
  { deadlineMs, signal, metadata = new Metadata() }: UnaryOptions = {},
): Promise<UnaryTypes<C, M>[1]> {
  type Response = UnaryTypes<C, M>[1];
  return new Promise<Response>((resolve, reject) => {
    if (signal?.aborted) return reject(JsigrError.from(signal.reason));
    const invoke = (client[method] as UnaryMethod<UnaryTypes<C, M>[0], Response>).bind(client);
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    const call = invoke(request, metadata, options, (error, response) => {
      signal?.removeEventListener('abort', cancel);
      if (error) reject(JsigrError.from(error));
      else resolve(response);
    });
    const cancel = () => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
  });
}

export interface StreamOptions {
  readonly signal?: AbortSignal;
  readonly metadata?: Metadata;
}

/**
 * The messages of a server stream, pulled one after another (what is not read yet is not fetched, but for a few). Leaving the loop cancels the call.
 * @throws JsigrError while iterating.
 */
export async function* serverStream<C extends Client, M extends keyof C & string>(
  client: C,
  method: M,
  request: StreamTypes<C, M>[0],
  { signal, metadata = new Metadata() }: StreamOptions = {},
): AsyncGenerator<StreamTypes<C, M>[1], void, undefined> {
  if (signal?.aborted) throw JsigrError.from(signal.reason);
  const open = (client[method] as StreamMethod<StreamTypes<C, M>[0], StreamTypes<C, M>[1]>).bind(client);
  const stream = open(request, metadata);
  const cancel = () => stream.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  // After the loop was left the call's own CANCELLED arrives as an event that nobody waits for.
  stream.on('error', () => undefined);
  try {
    for await (const message of stream) yield message;
  } catch (error) {
    throw JsigrError.from(error);
  } finally {
    signal?.removeEventListener('abort', cancel);
    stream.cancel();
  }
}

/**
 * Sends messages at the server's pace and gives its one response. A server that answers before the end (because it refuses) ends the sending.
 * @throws JsigrError, decoded from the status details; what `messages` throws, after cancelling the call
 */
export async function upload<C extends Client, M extends keyof C & string>(
  client: C,
  method: M,
  messages: AsyncIterable<UploadTypes<C, M>[0]>,
): Promise<UploadTypes<C, M>[1]> {
  const open = (client[method] as UploadMethod<UploadTypes<C, M>[0], UploadTypes<C, M>[1]>).bind(client);
  const ended = new AbortController();
  let stream: ClientWritableStream<UploadTypes<C, M>[0]> | undefined;
  const answer = new Promise<UploadTypes<C, M>[1]>((resolve, reject) => {
    stream = open(new Metadata(), {}, (error, response) => {
      ended.abort();
      if (error) reject(JsigrError.from(error));
      else resolve(response);
    });
  });
  answer.catch(() => undefined); // it is awaited below, when the sending is over
  try {
    for await (const message of messages) {
      if (ended.signal.aborted) break;
      if (!stream?.write(message))
        await once(stream as EventEmitter, 'drain', { signal: ended.signal }).catch(() => undefined);
    }
    stream?.end();
  } catch (error) {
    stream?.cancel();
    throw error;
  }
  return answer;
}
