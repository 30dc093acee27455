import type { IncomingMessage, ServerResponse } from 'node:http';
import { JsigrError, nameRequestSpan } from '@jsigr/service';
import { type CanActivate, createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import type { Access } from '../access/access.ts';
import type { Caller } from '../access/caller.ts';
import { type Method, ruleOf } from '../access/table.ts';
import type { Metrics } from '../operations/metrics.ts';

/** Callers of requests that were authenticated, or why they were not. */
const callers = new WeakMap<IncomingMessage, Caller | Error>();

/** The one who makes a request; undefined for whoever shows nothing, or nothing good. */
export function requestCaller(request: IncomingMessage): Caller | undefined {
  const found = callers.get(request);
  return found instanceof Error ? undefined : found;
}

const SERVES = 'jsigr:serves';

/** Says under which name of the access table a route's rule stands. A route without it is refused. */
export const Serves = (method: Method) => SetMetadata(SERVES, method);

/** The one who makes the request. */
export const From = createParamDecorator((_: unknown, context: ExecutionContext) =>
  requestCaller(context.switchToHttp().getRequest<IncomingMessage>()),
);

/** The method that a handler of a route serves. */
export function served(handler: object): string {
  return String(Reflect.getMetadata(SERVES, handler) ?? '');
}

/**
 * Finds out who asks before anything of a request's body is read; of somebody whom nobody knows it is not read at all. Otherwise what is not good is
 * said once it is known that the route asks for it.
 */
export function authentication(access: Access) {
  return (request: IncomingMessage, _: ServerResponse, next: (error?: unknown) => void): void => {
    access
      .authenticate(request.headers.authorization, addressOf(request))
      .catch((error: unknown) => JsigrError.from(error))
      .then((found) => {
        if (found) callers.set(request, found);
        const isRefused = hasBody(request) && !requestCaller(request);
        next(isRefused ? (found ?? access.signInFirst(addressOf(request))) : undefined);
      });
  };
}

function addressOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress ?? 'unknown'; // the connection is gone already
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Asks the access table about every route, and measures it. */
export class AccessGuard implements CanActivate {
  readonly #access: Access;
  readonly #metrics: Metrics;

  constructor(access: Access, metrics: Metrics) {
    this.#access = access;
    this.#metrics = metrics;
  }

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<IncomingMessage>();
    const method = served(context.getHandler());
    const response = context.switchToHttp().getResponse<ServerResponse>();
    nameRequestSpan(method);
    const end = this.#metrics.call('http', method);
    response.once('close', () => end(String(response.statusCode)));
    const found = callers.get(request);
    if (found instanceof Error && ruleOf(method)?.needs !== 'nobody') throw found;
    this.#access.authorize(method, requestCaller(request), addressOf(request));
    return true;
  }
}
