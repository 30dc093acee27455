import { once } from 'node:events';
import { type ServerReadableStream, type ServerWritableStream, type sendUnaryData, status } from '@grpc/grpc-js';
import { RpcException } from '@nestjs/microservices';
import { cancelled, JsigrError } from './errors.ts';
import { toServiceError } from './grpc-errors.ts';

interface AnyCall {
  readonly cancelled: boolean;
  on(event: 'cancelled', listener: () => void): unknown;
}

/** A signal that is aborted when the client goes away, cancels, or its deadline passes. */
export function signalOf(call: AnyCall): AbortSignal {
  const controller = new AbortController();
  const abort = () => controller.abort(cancelled('the caller cancelled'));
  if (call.cancelled) abort();
  else call.on('cancelled', abort);
  return controller.signal;
}

/**
 * Writes a source to a server stream at the client's pace, and ends the call: with OK at the source's end, with the error's status when it throws.
 * The source's `return` runs when the client cancels. Never rejects, so that a handler can be `(call) => pump(call, ...)`.
 */
export async function pump<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  source: AsyncIterable<Response> | ((signal: AbortSignal) => AsyncIterable<Response>),
): Promise<void> {
  const signal = signalOf(call);
  try {
    const iterable = typeof source === 'function' ? source(signal) : source;
    await drainInto(call, iterable[Symbol.asyncIterator](), signal);
    call.end();
  } catch (error) {
    // Not destroy(): that would drop messages which were written before the error.
    call.emit('error', toServiceError(error));
  }
}

async function drainInto<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  iterator: AsyncIterator<Response>,
  signal: AbortSignal,
): Promise<void> {
  const gone = aborted(signal);
  try {
    while (!signal.aborted) {
      // A source may wait long for its next message: the cancellation must not wait with it.
      const next = await Promise.race([iterator.next(), gone.promise]);
      if (next === undefined || next.done) return;
      // A drain that never comes (the client is gone) would hold the source for ever: race it with the cancellation.
      if (!call.write(next.value) && !signal.aborted) await once(call, 'drain', { signal }).catch(ignoreAbort);
    }
  } finally {
    gone.forget();
    // Not awaited: a generator that is still waiting inside `next` returns only after that; its own signal ends the waiting.
    void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

function aborted(signal: AbortSignal): { promise: Promise<undefined>; forget: () => void } {
  let forget = () => {};
  const promise = new Promise<undefined>((resolve) => {
    const listener = () => resolve(undefined);
    if (signal.aborted) listener();
    signal.addEventListener('abort', listener, { once: true });
    forget = () => signal.removeEventListener('abort', listener);
  });
  return { promise, forget: () => forget() };
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error;
}

/** Wraps the body of a unary handler: what it throws reaches the client as a status with details. */
export async function handle<Response>(body: () => Response | Promise<Response>): Promise<Response> {
  try {
    return await body();
  } catch (error) {
    throw new RpcException(toServiceError(error));
  }
}

/**
 * Answers a client stream: `body` reads the messages and gives the one response; what it throws reaches the client as a status with details.
 * A call that breaks off may end like one that is whole, so the messages must say how many they are. Never rejects, so that a handler can be `(call, callback) => receive(call, callback, ...)`.
 */
export async function receive<Request, Response>(
  call: ServerReadableStream<Request, Response>,
  callback: sendUnaryData<Response>,
  body: (messages: AsyncIterable<Request>) => Promise<Response>,
): Promise<void> {
  try {
    callback(null, await body(messagesOf(call)));
  } catch (error) {
    callback(toServiceError(error));
    call.resume(); // what is still on its way is dropped, so that the call can end
  }
}

/** What grpc-js breaks a stream of messages with is a status, not an Error. */
function broken(cause: unknown): never {
  const { code, details } = (cause ?? {}) as { code?: status; details?: string };
  if (code === undefined || code === status.CANCELLED) throw cancelled('the caller cancelled', cause);
  throw new JsigrError({ code, reason: status[code] ?? 'UNKNOWN', message: details ?? 'the stream broke', cause });
}

async function* messagesOf<Request, Response>(call: ServerReadableStream<Request, Response>): AsyncGenerator<Request> {
  const signal = signalOf(call);
  const gone = aborted(signal);
  const iterator = call.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]();
  try {
    while (true) {
      const next = await Promise.race([iterator.next().catch(broken), gone.promise]);
      if (next === undefined) throw signal.reason;
      if (next.done) return;
      yield next.value as Request;
    }
  } finally {
    gone.forget();
  }
}
