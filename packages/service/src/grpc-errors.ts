import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, Status } from '@jsigr/proto';
import { ERROR_DOMAIN, JsigrError, recogniseErrors, sendable } from './errors.ts';

const DETAILS = 'grpc-status-details-bin';
const ERROR_INFO = 'type.googleapis.com/google.rpc.ErrorInfo';
const BAD_REQUEST = 'type.googleapis.com/google.rpc.BadRequest';

/** What a gRPC handler gives back: the status, and in its trailers a `google.rpc.Status` with one ErrorInfo and, for bad fields, a BadRequest. */
export function toServiceError(error: unknown): ServiceError {
  const ours = sendable(error);
  const metadata = new Metadata();
  metadata.set(DETAILS, Buffer.from(Status.encode(statusOf(ours)).finish()));
  return Object.assign(new Error(ours.message), { code: ours.code, details: ours.message, metadata });
}

function statusOf({ code, message, reason, hint, violations }: ReturnType<typeof sendable>): Status {
  const info = ErrorInfo.fromPartial({ reason, domain: ERROR_DOMAIN, metadata: hint ? { hint } : {} });
  const details = [{ typeUrl: ERROR_INFO, value: Buffer.from(ErrorInfo.encode(info).finish()) }];
  if (violations.length > 0) {
    const bad = BadRequest.fromPartial({ fieldViolations: violations.map((violation) => ({ ...violation })) });
    details.push({ typeUrl: BAD_REQUEST, value: Buffer.from(BadRequest.encode(bad).finish()) });
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
  const { info, violations } = detailsOf(error);
  const hint = info?.metadata.hint;
  return new JsigrError({
    code: error.code,
    reason: info?.reason || status[error.code] || 'UNKNOWN',
    message: error.details || error.message,
    violations,
    ...(hint ? { hint } : {}),
    cause: error,
  });
}

/** Details come from the other side: what cannot be read counts as absent, the status itself is there in any case. */
function detailsOf({ metadata }: ServiceError): { info?: ErrorInfo; violations: BadRequest['fieldViolations'] } {
  const [bytes] = metadata.get(DETAILS);
  const found: { info?: ErrorInfo; violations: BadRequest['fieldViolations'] } = { violations: [] };
  if (!(bytes instanceof Uint8Array)) return found;
  try {
    for (const { typeUrl, value } of Status.decode(bytes).details) {
      if (typeUrl === ERROR_INFO) found.info = ErrorInfo.decode(value);
      if (typeUrl === BAD_REQUEST) found.violations = BadRequest.decode(value).fieldViolations;
    }
  } catch {
    return { violations: [] };
  }
  return found;
}

recogniseErrors(isServiceError, fromServiceError);
