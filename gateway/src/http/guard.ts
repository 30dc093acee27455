import type { IncomingMessage, ServerResponse } from 'node:http';
import { status } from '@grpc/grpc-js';
import { JsigrError, permissionDenied } from '@jsigr/service';
import type { Access } from '../access/access.ts';
import { isLoopback } from '../loopback.ts';

/** Pages load nothing but what the gateway itself serves, run no script that stands in them, and are shown in no frame of others. */
const HEADERS = {
  'content-security-policy':
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
} as const;

/**
 * Keeps off what a browser sends that some web page led here: from a page of another origin (the Origin header tells), by a form (forms cannot send
 * JSON), and, where nobody has to sign in, by a name of its own that it points at this machine (the Host header tells).
 */
export function guard(access: Access) {
  return (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): void => {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    access.isClosed().then((closed) => next(refusal(request, closed)), next);
  };
}

function refusal({ headers, method }: IncomingMessage, closed: boolean): JsigrError | undefined {
  const host = headers.host ?? '';
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (!closed && !isLoopback(name))
    return permissionDenied(
      'FOREIGN_HOST',
      `${JSON.stringify(host.slice(0, 100))} is not this machine`,
      'use 127.0.0.1 or localhost',
    );
  const { origin } = headers;
  if (origin !== undefined && hostOf(origin) !== host.toLowerCase())
    return permissionDenied(
      'FOREIGN_ORIGIN',
      `pages of ${JSON.stringify(origin.slice(0, 100))} may not ask this gateway`,
    );
  const type = (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  const isEmpty = Number(headers['content-length'] ?? 0) === 0 && !headers['transfer-encoding'];
  if (method !== 'POST' || type === 'application/json' || (isEmpty && !type)) return undefined;
  return new JsigrError({
    code: status.INVALID_ARGUMENT,
    reason: 'NOT_JSON',
    message: `the content type is ${type || 'missing'}; application/json is taken`,
  });
}

/** Empty for what is no origin; `null` is what a sandboxed page says. */
function hostOf(origin: string): string {
  return URL.canParse(origin) ? new URL(origin).host : '';
}
