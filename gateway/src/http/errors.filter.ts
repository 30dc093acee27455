import type { ServerResponse } from 'node:http';
import { status } from '@grpc/grpc-js';
import { JsigrError, toHttpError } from '@jsigr/service';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';

/** What HTTP itself refuses (unknown path, body too large, no JSON), in the platform's words. */
const refusals: Readonly<Record<number, { readonly code: status; readonly reason: string }>> = {
  400: { code: status.INVALID_ARGUMENT, reason: 'MALFORMED_REQUEST' },
  404: { code: status.NOT_FOUND, reason: 'PATH_NOT_FOUND' },
  413: { code: status.RESOURCE_EXHAUSTED, reason: 'BODY_TOO_LARGE' },
  415: { code: status.INVALID_ARGUMENT, reason: 'NOT_JSON' },
};

/** Every error leaves the HTTP face as Google's HTTP interfaces write it. */
@Catch()
export class ErrorsFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<ServerResponse>();
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const { status: http, headers, body } = answerTo(error);
    response.writeHead(http, { 'content-type': 'application/json; charset=utf-8', ...headers });
    response.end(JSON.stringify(body));
  }
}

function answerTo(error: unknown): ReturnType<typeof toHttpError> {
  const http = statusOf(error);
  const refusal = http === undefined ? undefined : refusals[http];
  if (http === undefined || !refusal) return toHttpError(error);
  const { body, headers } = toHttpError(
    new JsigrError({ ...refusal, message: error instanceof Error ? error.message : String(error) }),
  );
  return { status: http, headers, body: { error: { ...body.error, code: http } } };
}

/** Nest's and Express' own errors carry an HTTP status. */
function statusOf(error: unknown): number | undefined {
  if (error instanceof JsigrError) return undefined;
  if (error instanceof HttpException) return error.getStatus();
  const { status: code } = error as { status?: unknown };
  return typeof code === 'number' ? code : undefined;
}
