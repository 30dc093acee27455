import type { EventEmitter } from 'node:events';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { type ServerReadableStream, type ServerWritableStream, type sendUnaryData, status } from '@grpc/grpc-js';
import { RpcException } from '@nestjs/microservices';
import { cancelled, JsigrError, resourceExhausted } from './errors.ts';
import { toServiceError } from './grpc-errors.ts';
import { unlessAborted } from './unless-aborted.ts';

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

/** Milliseconds that the caller's deadline leaves; undefined where there is none. */
export function timeLeft(call: { getDeadline(): Date | number }): number | undefined {
  const deadline = call.getDeadline();
  return deadline === Number.POSITIVE_INFINITY ? undefined : Math.max(1, Number(deadline) - Date.now());
}

/** A client that takes nothing of what waits for it is let go after so many milliseconds. */
export const STALLED_MS = 60_000;

/**
 * Writes a source to a server stream at the client's pace, and ends the call: with OK at the source's end, with the error's status when it throws.
 * The source's `return` runs when the client cancels, or takes nothing for a minute (RESOURCE_EXHAUSTED SLOW_CONSUMER). Never rejects, so that a handler can be `(call) => pump(call, ...)`.
 */
export async function pump<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  source: AsyncIterable<Response> | ((signal: AbortSignal) => AsyncIterable<Response>),
  stalledMs = STALLED_MS,
): Promise<void> {
  const signal = signalOf(call);
  try {
    const iterable = typeof source === 'function' ? source(signal) : source;
    await drainInto(call, iterable[Symbol.asyncIterator](), signal, stalledMs);
    call.end();
  } catch (error) {
    if (error instanceof JsigrError && error.reason === SLOW_CONSUMER) reset(call);
    // Not destroy(): that would drop messages which were written before the error.
    call.emit('error', toServiceError(error));
  }
}

/**
 * Ends the stream of a call at once, with what waits in it: a status would wait behind messages that the client does not take. Clients see RESOURCE_EXHAUSTED (gRPC's
 * word for ENHANCE_YOUR_CALM). grpc-js hands out no stream, so it is looked for in the layers of the call.
 */
function reset(call: object): void {
  type Layer = { readonly stream?: ServerHttp2Stream; readonly call?: Layer; readonly nextCall?: Layer };
  for (let layer: Layer | undefined = call as Layer; layer; layer = layer.call ?? layer.nextCall)
    layer.stream?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
}

async function drainInto<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  iterator: AsyncIterator<Response>,
  signal: AbortSignal,
  stalledMs: number,
): Promise<void> {
  try {
    while (!signal.aborted) {
      // A source may wait long for its next message: the cancellation must not wait with it.
      const next = await unlessAborted(iterator.next(), signal).catch((error) => {
        if (!signal.aborted) throw error;
      });
      if (!next || next.done) return;
      // A drain that never comes (the client is gone) would hold the source for ever: race it with the cancellation.
      if (!call.write(next.value)) await drained(call, signal, stalledMs);
    }
  } finally {
    // Not awaited: a generator that is still waiting inside `next` returns only after that; its own signal ends the waiting.
    void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

/**
 * Waits until a stream takes more, or the signal is aborted. Listeners of its own: a signal made of others for each write would be kept as long as the call.
 * @throws JsigrError RESOURCE_EXHAUSTED SLOW_CONSUMER when nothing was taken for so long
 */
export function drained(stream: EventEmitter, signal: AbortSignal, stalledMs = STALLED_MS): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (error?: JsigrError) => {
      clearTimeout(timer);
      stream.off('drain', goOn);
      signal.removeEventListener('abort', goOn);
      if (error) reject(error);
      else resolve();
    };
    const goOn = () => end();
    const timer = setTimeout(() => end(slowConsumer(stalledMs)), stalledMs);
    stream.once('drain', goOn);
    signal.addEventListener('abort', goOn, { once: true });
    if (signal.aborted) goOn();
  });
}

const SLOW_CONSUMER = 'SLOW_CONSUMER';

function slowConsumer(stalledMs: number): JsigrError {
  return resourceExhausted(
    SLOW_CONSUMER,
    `nothing of the stream was taken for ${stalledMs / 1000} s`,
    'call again for what comes after the last message that you have',
  );
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
 * Answers a client stream: `body` reads the messages and gives the one response, for which nobody waits any more once its signal is aborted; what it throws reaches
 * the client as a status with details. A call that breaks off may end like one that is whole, so the messages must say how many they are. A client that sends nothing for a minute is let go
 * (RESOURCE_EXHAUSTED SLOW_SENDER), with what was kept of it. Never rejects, so that a handler can be `(call, callback) => receive(call, callback, ...)`.
 */
export async function receive<Request, Response>(
  call: ServerReadableStream<Request, Response>,
  callback: sendUnaryData<Response>,
  body: (messages: AsyncIterable<Request>, signal: AbortSignal) => Promise<Response>,
  stalledMs = STALLED_MS,
): Promise<void> {
  try {
    callback(null, await body(messagesOf(call, stalledMs), signalOf(call)));
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

async function* messagesOf<Request, Response>(
  call: ServerReadableStream<Request, Response>,
  stalledMs: number,
): AsyncGenerator<Request> {
  const signal = signalOf(call);
  const iterator = call.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]();
  while (true) {
    const next = await inTime(unlessAborted(iterator.next().catch(broken), signal), stalledMs);
    if (next.done) return;
    yield next.value as Request;
  }
}

/** @throws JsigrError RESOURCE_EXHAUSTED SLOW_SENDER when it takes longer */
function inTime<T>(work: Promise<T>, stalledMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(slowSender(stalledMs)), stalledMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function slowSender(stalledMs: number): JsigrError {
  return resourceExhausted(
    'SLOW_SENDER',
    `nothing was sent for ${stalledMs / 1000} s`,
    'send it again, from the start',
  );
}
