import type { IncomingMessage, ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { drained, invalidArgument } from '@jsigr/service';
import { jsonText } from '../store/json.ts';

/** So that nothing between here and the browser takes a quiet run for a dead connection. */
const HEARTBEAT_MS = 15_000;

export interface SentEvent {
  readonly id: number;
  readonly data: unknown;
}

/** Where a browser that reconnects goes on, whatever the address said at first; undefined: it did not say. @throws JsigrError INVALID_ARGUMENT */
export function resumeAfter(request: IncomingMessage): number | undefined {
  const header = request.headers['last-event-id'];
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw invalidArgument('afterSequence', `${JSON.stringify(text.slice(0, 40))} is not a sequence number`);
}

/** Sends events as they come, at the client's pace, and ends with the source. An error cuts the connection: the client comes again. @throws what the source throws at once */
export async function sendEvents(
  response: ServerResponse,
  source: (signal: AbortSignal) => AsyncIterable<SentEvent>,
): Promise<void> {
  const controller = new AbortController();
  response.once('close', () => controller.abort(new DOMException('the client went away', 'AbortError')));
  const events = source(controller.signal)[Symbol.asyncIterator]();
  let next = events.next();
  // What is refused at once is an answer; a browser would take an end for a reason to come again.
  await Promise.race([next, setImmediate()]);
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();
  const beat = setInterval(() => response.write(': still here\n\n'), HEARTBEAT_MS).unref();
  try {
    for (;;) {
      const { done, value } = await next;
      if (done || controller.signal.aborted) break;
      if (!response.write(`id: ${value.id}\ndata: ${jsonText(value.data)}\n\n`))
        await drained(response, controller.signal);
      next = events.next();
    }
    response.end();
  } catch {
    response.destroy();
  } finally {
    await events.return?.().catch(() => undefined);
    clearInterval(beat);
  }
}
