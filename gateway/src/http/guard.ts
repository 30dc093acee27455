import type { IncomingMessage, ServerResponse } from 'node:http';
import { status } from '@grpc/grpc-js';
import { JsigrError } from '@jsigr/service';
import { isLoopback } from '../loopback.ts';

/**
 * There is no sign-in yet, so only this machine may ask; and not through a browser that some web page leads here: by a name of its own that
 * it points at this machine (the Host header tells), or by a form (forms cannot send JSON).
 */
export function guard(request: IncomingMessage, _: ServerResponse, next: (error?: unknown) => void): void {
  next(refusal(request));
}

function refusal({ headers, method }: IncomingMessage): JsigrError | undefined {
  const host = headers.host ?? '';
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (!isLoopback(name))
    return new JsigrError({
      code: status.PERMISSION_DENIED,
      reason: 'FOREIGN_HOST',
      message: `${JSON.stringify(host.slice(0, 100))} is not this machine`,
      hint: 'use 127.0.0.1 or localhost',
    });
  const type = (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  const isEmpty = Number(headers['content-length'] ?? 0) === 0 && !headers['transfer-encoding'];
  if (method !== 'POST' || type === 'application/json' || (isEmpty && !type)) return undefined;
  return new JsigrError({
    code: status.INVALID_ARGUMENT,
    reason: 'NOT_JSON',
    message: `the content type is ${type || 'missing'}; application/json is taken`,
  });
}
