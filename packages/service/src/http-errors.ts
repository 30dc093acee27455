import { status } from '@grpc/grpc-js';
import { ERROR_DOMAIN, JsigrError, sendable } from './errors.ts';

/** Google's mapping of gRPC codes to HTTP (google/rpc/code.proto). */
const httpStatus: Record<status, number> = {
  [status.OK]: 200,
  [status.CANCELLED]: 499,
  [status.UNKNOWN]: 500,
  [status.INVALID_ARGUMENT]: 400,
  [status.DEADLINE_EXCEEDED]: 504,
  [status.NOT_FOUND]: 404,
  [status.ALREADY_EXISTS]: 409,
  [status.PERMISSION_DENIED]: 403,
  [status.RESOURCE_EXHAUSTED]: 429,
  [status.FAILED_PRECONDITION]: 400,
  [status.ABORTED]: 409,
  [status.OUT_OF_RANGE]: 400,
  [status.UNIMPLEMENTED]: 501,
  [status.INTERNAL]: 500,
  [status.UNAVAILABLE]: 503,
  [status.DATA_LOSS]: 500,
  [status.UNAUTHENTICATED]: 401,
};

export interface HttpErrorBody {
  readonly error: {
    /** The HTTP status. */
    readonly code: number;
    readonly message: string;
    /** Name of the gRPC code. */
    readonly status: string;
    readonly details: readonly Record<string, unknown>[];
  };
}

/** The same error as on the gRPC face, as Google's HTTP interfaces write it. */
export function toHttpError(error: unknown): {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: HttpErrorBody;
} {
  const { code, message, reason, hint, violations, retryAfterSeconds } = sendable(error);
  const details: Record<string, unknown>[] = [
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason,
      domain: ERROR_DOMAIN,
      metadata: hint ? { hint } : {},
    },
  ];
  if (violations.length > 0)
    details.push({ '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: violations });
  if (retryAfterSeconds !== undefined)
    details.push({ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${retryAfterSeconds}s` });
  const headers: Record<string, string> =
    retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) };
  const http = httpStatus[code] ?? 500;
  return {
    status: http,
    headers,
    body: { error: { code: http, message, status: status[code] ?? 'UNKNOWN', details } },
  };
}

const exitCodes: Partial<Record<status, number>> = {
  [status.INVALID_ARGUMENT]: 2,
  [status.OUT_OF_RANGE]: 2,
  [status.NOT_FOUND]: 3,
  [status.FAILED_PRECONDITION]: 4,
  [status.ALREADY_EXISTS]: 4,
  [status.ABORTED]: 4,
  [status.UNAVAILABLE]: 5,
  [status.DEADLINE_EXCEEDED]: 5,
  [status.UNAUTHENTICATED]: 6,
  [status.PERMISSION_DENIED]: 6,
  [status.CANCELLED]: 130,
};

/** Exit code of a command: 2 bad usage, 3 not found, 4 not in this state, 5 cannot be reached, 6 not allowed, 130 cancelled, 1 anything else. */
export function exitCodeOf(error: unknown): number {
  return exitCodes[JsigrError.from(error).code] ?? 1;
}
