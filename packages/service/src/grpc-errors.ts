import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo, Status } from '@jsigr/proto';
import { ERROR_DOMAIN, JsigrError, recogniseErrors, sendable } from './errors.ts';

const DETAILS = 'grpc-status-details-bin';
const ERROR_INFO = 'type.googleapis.com/google.rpc.ErrorInfo';
const BAD_REQUEST = 'type.googleapis.com/google.rpc.BadRequest';
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo';

/** What a gRPC handler gives back: the status, and in its trailers a `google.rpc.Status` with one ErrorInfo, for bad fields a BadRequest, and a RetryInfo where it is known when to try again. */
export function toServiceError(error: unknown): ServiceError {
  const ours = sendable(error);
  const metadata = new Metadata();
  metadata.set(DETAILS, Buffer.from(Status.encode(statusOf(ours)).finish()));
  return Object.assign(new Error(ours.message), { code: ours.code, details: ours.message, metadata });
}

function statusOf(error: ReturnType<typeof sendable>): Status {
  const { code, message, reason, hint, violations, retryAfterSeconds } = error;
  const info = ErrorInfo.fromPartial({ reason, domain: ERROR_DOMAIN, metadata: hint ? { hint } : {} });
  const details = [{ typeUrl: ERROR_INFO, value: Buffer.from(ErrorInfo.encode(info).finish()) }];
  if (violations.length > 0) {
    const bad = BadRequest.fromPartial({ fieldViolations: violations.map((violation) => ({ ...violation })) });
    details.push({ typeUrl: BAD_REQUEST, value: Buffer.from(BadRequest.encode(bad).finish()) });
  }
  if (retryAfterSeconds !== undefined) {
    const retry = RetryInfo.fromPartial({ retryDelay: { seconds: retryAfterSeconds } });
    details.push({ typeUrl: RETRY_INFO, value: Buffer.from(RetryInfo.encode(retry).finish()) });
  }
  return Status.fromPartial({ code, message, details });
}

function isServiceError(error: unknown): error is ServiceError {
  return (
    error instanceof Error &&
    typeof (error as Partial<ServiceError>).code === 'number' &&
    typeof (error as Partial<ServiceError>).details === 'string' &&
    (error as Partial<ServiceError>).metadata instanceof Metadata
  );
}

function fromServiceError(error: ServiceError): JsigrError {
  const { info, violations, retry } = detailsOf(error);
  const hint = info?.metadata.hint;
  return new JsigrError({
    code: error.code,
    reason: info?.reason || status[error.code] || 'UNKNOWN',
    message: error.details || error.message,
    violations,
    ...(hint ? { hint } : {}),
    ...(retry?.retryDelay ? { retryAfterSeconds: Math.ceil(retry.retryDelay.seconds) } : {}),
    cause: error,
  });
}

interface Details {
  info?: ErrorInfo;
  violations: BadRequest['fieldViolations'];
  retry?: RetryInfo;
}

/** Details come from the other side: what cannot be read counts as absent, the status itself is there in any case. */
function detailsOf({ metadata }: ServiceError): Details {
  const [bytes] = metadata.get(DETAILS);
  const found: Details = { violations: [] };
  if (!(bytes instanceof Uint8Array)) return found;
  try {
    for (const { typeUrl, value } of Status.decode(bytes).details) {
      if (typeUrl === ERROR_INFO) found.info = ErrorInfo.decode(value);
      if (typeUrl === BAD_REQUEST) found.violations = BadRequest.decode(value).fieldViolations;
      if (typeUrl === RETRY_INFO) found.retry = RetryInfo.decode(value);
    }
  } catch {
    return { violations: [] };
  }
  return found;
}

recogniseErrors(isServiceError, fromServiceError);
