import type { IncomingMessage, ServerResponse } from 'node:http';
import { inRequestSpan } from '@jsigr/service';

/** Probes and scrapes come every few seconds. */
const UNTRACED = /^\/(livez|readyz|metrics)\b/;

/** A span for every request, with the trace that its `traceparent` header names, and for what its handler does. */
export function tracing(request: IncomingMessage, response: ServerResponse, next: () => void): void {
  if (UNTRACED.test(request.url ?? '')) next();
  else
    inRequestSpan(request.method ?? '', request.headers, (end) => {
      response.once('close', () => end(response.statusCode));
      next();
    });
}
