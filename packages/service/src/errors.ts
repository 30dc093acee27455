import { status } from '@grpc/grpc-js';

export interface Violation {
  /** Path of the field in the request, lowerCamel, e.g. `spec.epochs`. */
  readonly field: string;
  /** What was given and what is allowed. */
  readonly description: string;
}

export interface JsigrErrorOptions {
  readonly code: status;
  /** UPPER_SNAKE; part of the interface. */
  readonly reason: string;
  readonly message: string;
  readonly violations?: readonly Violation[];
  /** What to do next. */
  readonly hint?: string;
  /** After how many seconds, an integer, the same call may be let in; where that is known. */
  readonly retryAfterSeconds?: number;
  /** For logs; never sent. */
  readonly cause?: unknown;
}

/** Domain of every `google.rpc.ErrorInfo` that the platform sends. */
export const ERROR_DOMAIN = 'jsigr.dev';

/** The platform's one error. Everything that leaves a service, a command or the HTTP face is one of these. */
export class JsigrError extends Error {
  override readonly name = 'JsigrError';
  readonly code: status;
  readonly reason: string;
  readonly violations: readonly Violation[];
  readonly hint?: string;
  readonly retryAfterSeconds?: number;

  constructor({ code, reason, message, violations = [], hint, retryAfterSeconds, cause }: JsigrErrorOptions) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.reason = reason;
    this.violations = violations;
    if (hint) this.hint = hint;
    if (retryAfterSeconds !== undefined) this.retryAfterSeconds = retryAfterSeconds;
  }

  /**
   * The only place that turns foreign errors into ours: errors of the packages (a `reason`, a `message`, perhaps a `field`), of Zod,
   * aborted signals and timeouts, gRPC errors with or without details. What is none of these is INTERNAL.
   */
  static from(error: unknown): JsigrError {
    if (error instanceof JsigrError) return error;
    for (const [recognise, convert] of conversions) {
      if (recognise(error)) return convert(error as never);
    }
    const message = error instanceof Error ? error.message : String(error);
    return new JsigrError({
      code: status.INTERNAL,
      reason: 'INTERNAL',
      message: `unexpected error: ${message}`,
      cause: error,
    });
  }
}

/**
 * Errors travel in HTTP/2 headers, of which some clients take 8 KiB in all, and end the connection, other calls with it, when there are more. So
 * much of a message, and so much of all violations together, is sent.
 */
const MOST_MESSAGE_BYTES = 1000;
const MOST_VIOLATIONS_BYTES = 3000;
const MOST_FIELD_BYTES = 200;
const MOST_DESCRIPTION_BYTES = 600;

/** What of an error is sent: long texts are cut, and violations that find no room are counted. */
export function sendable(
  error: unknown,
): Pick<JsigrError, 'code' | 'reason' | 'message' | 'hint' | 'violations' | 'retryAfterSeconds'> {
  const { code, reason, message, hint, violations, retryAfterSeconds } = JsigrError.from(error);
  const sent: Violation[] = [];
  let room = MOST_VIOLATIONS_BYTES;
  for (const violation of violations) {
    const field = cut(violation.field, MOST_FIELD_BYTES);
    const description = cut(violation.description, MOST_DESCRIPTION_BYTES);
    room -= Buffer.byteLength(field) + Buffer.byteLength(description);
    if (room < 0) break;
    sent.push({ field, description });
  }
  const left = violations.length - sent.length;
  if (left > 0) sent.push({ field: '', description: `and ${left} more` });
  return {
    code,
    reason,
    message: cut(message, MOST_MESSAGE_BYTES),
    violations: sent,
    ...(hint ? { hint: cut(hint, MOST_MESSAGE_BYTES) } : {}),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  };
}

/** What gRPC cannot write, half of a surrogate pair, is replaced: grpc-js would throw where it sends it. */
function cut(text: string, mostBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= mostBytes) return text.toWellFormed();
  // Half a character at the end is dropped.
  return `${bytes
    .subarray(0, mostBytes - 3)
    .toString()
    .replace(/\uFFFD+$/, '')}…`;
}

/** A foreign kind of error: how to recognise it, what it becomes. */
type Conversion = readonly [recognise: (error: unknown) => boolean, convert: (error: never) => JsigrError];

const conversions: Conversion[] = [
  [isJsigrShaped, fromJsigrShaped],
  [isAbort, fromAbort],
  [isZodError, fromZod],
  [isPackageError, fromPackageError],
];

/** Adds a kind of foreign error to `JsigrError.from`; `grpc-errors.ts` does so for errors of gRPC. */
export function recogniseErrors<T>(recognise: (error: unknown) => error is T, convert: (error: T) => JsigrError): void {
  conversions.unshift([recognise, convert as Conversion[1]]);
}

/** Ours from another thread, or from a second copy of this module: the class is lost, the fields are there. */
type JsigrShaped = Pick<JsigrError, 'code' | 'reason' | 'message' | 'violations' | 'hint'>;

function isJsigrShaped(error: unknown): error is JsigrShaped {
  return (
    isPackageError(error) &&
    typeof (error as Partial<JsigrShaped>).code === 'number' &&
    Array.isArray((error as Partial<JsigrShaped>).violations)
  );
}

function fromJsigrShaped(error: JsigrShaped): JsigrError {
  const { code, reason, message, violations, hint } = error;
  return new JsigrError({ code, reason, message, violations, ...(hint ? { hint } : {}), cause: error });
}

function isAbort(error: unknown): error is Error {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}

function fromAbort(error: Error): JsigrError {
  return error.name === 'TimeoutError'
    ? new JsigrError({
        code: status.DEADLINE_EXCEEDED,
        reason: 'DEADLINE_EXCEEDED',
        message: error.message,
        cause: error,
      })
    : cancelled(error.message, error);
}

interface ZodLike {
  readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];
}

function isZodError(error: unknown): error is Error & ZodLike {
  return error instanceof Error && Array.isArray((error as Partial<ZodLike>).issues);
}

function fromZod(error: Error & ZodLike): JsigrError {
  return invalidArgument(
    error.issues.map(({ path, message }) => ({ field: path.map(String).join('.'), description: message })),
  );
}

/** EngineError, ModelError, DatasetError, AttackError, TrainingError, SaliencyError: known by their shape, not by their class. */
interface PackageError extends Error {
  readonly reason: string;
  readonly field?: string;
}

function isPackageError(error: unknown): error is PackageError {
  return error instanceof Error && /^[A-Z][A-Z0-9_]*$/.test(String((error as Partial<PackageError>).reason));
}

/** Reasons that say nothing about the request: a thread that was closed by a worker that is stopping, that died, or that hung; a model that others drove out of memory. Another one, or the same a little later, may do the work. */
const otherCodes: Readonly<Record<string, status>> = {
  COMPUTE_THREAD_CLOSED: status.UNAVAILABLE,
  COMPUTE_THREAD_DIED: status.UNAVAILABLE,
  COMPUTE_THREAD_SILENT: status.UNAVAILABLE,
  NOT_LOADED: status.UNAVAILABLE,
};

function fromPackageError(error: PackageError): JsigrError {
  const { reason, message, field } = error;
  const violations = field ? [{ field, description: message }] : [];
  return new JsigrError({
    code: otherCodes[reason] ?? status.INVALID_ARGUMENT,
    reason,
    message,
    violations,
    cause: error,
  });
}

/** INVALID_ARGUMENT with one violation, or with all there are. */
export function invalidArgument(violations: readonly Violation[]): JsigrError;
export function invalidArgument(field: string, description: string): JsigrError;
export function invalidArgument(first: readonly Violation[] | string, description = ''): JsigrError {
  const violations = typeof first === 'string' ? [{ field: first, description }] : first;
  const message = violations
    .map((violation) => [violation.field, violation.description].filter(Boolean).join(': '))
    .join('; ');
  return new JsigrError({ code: status.INVALID_ARGUMENT, reason: 'INVALID_ARGUMENT', message, violations });
}

/** NOT_FOUND, e.g. `notFound('model', 'models/3f2a', 'jsigr models list shows what there is')`. */
export function notFound(resource: string, name: string, hint?: string): JsigrError {
  const reason = `${resource.replace(/[^A-Za-z0-9]+/g, '_').toUpperCase()}_NOT_FOUND`;
  return new JsigrError({
    code: status.NOT_FOUND,
    reason,
    message: `there is no ${resource} "${name}"`,
    ...(hint ? { hint } : {}),
  });
}

export function failedPrecondition(reason: string, message: string, hint?: string): JsigrError {
  return new JsigrError({ code: status.FAILED_PRECONDITION, reason, message, ...(hint ? { hint } : {}) });
}

export function resourceExhausted(reason: string, message: string, hint?: string): JsigrError {
  return new JsigrError({ code: status.RESOURCE_EXHAUSTED, reason, message, ...(hint ? { hint } : {}) });
}

export function alreadyExists(resource: string, name: string, hint?: string): JsigrError {
  const reason = `${resource.replace(/[^A-Za-z0-9]+/g, '_').toUpperCase()}_ALREADY_EXISTS`;
  return new JsigrError({
    code: status.ALREADY_EXISTS,
    reason,
    message: `${resource} "${name}" exists already`,
    ...(hint ? { hint } : {}),
  });
}

export function unavailable(reason: string, message: string, hint?: string): JsigrError {
  return new JsigrError({ code: status.UNAVAILABLE, reason, message, ...(hint ? { hint } : {}) });
}

export function unauthenticated(reason: string, message: string, hint?: string): JsigrError {
  return new JsigrError({ code: status.UNAUTHENTICATED, reason, message, ...(hint ? { hint } : {}) });
}

export function permissionDenied(reason: string, message: string, hint?: string): JsigrError {
  return new JsigrError({ code: status.PERMISSION_DENIED, reason, message, ...(hint ? { hint } : {}) });
}

export function outOfRange(field: string, description: string): JsigrError {
  const violations = [{ field, description }];
  return new JsigrError({
    code: status.OUT_OF_RANGE,
    reason: 'OUT_OF_RANGE',
    message: `${field}: ${description}`,
    violations,
  });
}

export function cancelled(message = 'the call was cancelled', cause?: unknown): JsigrError {
  return new JsigrError({ code: status.CANCELLED, reason: 'CANCELLED', message, cause });
}
