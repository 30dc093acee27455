import { status } from '@grpc/grpc-js';
import { JsigrError } from '../errors.ts';

/** A kind of failure: by the names that S3 servers, the SDK and Node give it, or else by HTTP status. */
interface Failure {
  readonly names: readonly string[];
  readonly statuses?: readonly number[];
  readonly code: status;
  readonly reason: string;
  readonly says: string;
  readonly hint: string;
}

const failures: readonly Failure[] = [
  {
    names: [
      'QuotaExceeded',
      'InsufficientStorage',
      'NoSpaceLeft',
      'StorageFull',
      'XMinioStorageFull',
      'ServiceQuotaExceeded',
    ],
    statuses: [507],
    code: status.RESOURCE_EXHAUSTED,
    reason: 'STORE_FULL',
    says: 'is full',
    hint: 'free space or raise the quota; `jsigr gc` removes what nothing refers to',
  },
  {
    names: ['NoSuchBucket', 'InvalidBucketName'],
    code: status.FAILED_PRECONDITION,
    reason: 'STORE_NOT_FOUND',
    says: 'does not exist',
    hint: 'make the bucket, or correct JSIGR_ARTEFACTS (and JSIGR_S3_ENDPOINT, JSIGR_S3_REGION)',
  },
  {
    names: [
      ...['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'ExpiredToken', 'InvalidToken', 'TokenRefreshRequired'],
      ...['CredentialsProviderError', 'InvalidClientTokenId', 'RequestTimeTooSkewed', 'RequestExpired'],
    ],
    statuses: [401],
    code: status.FAILED_PRECONDITION,
    reason: 'STORE_CREDENTIALS',
    says: 'does not take the credentials, or there are none',
    hint: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another source of the AWS SDK, and look at the clock',
  },
  {
    names: [
      'PermanentRedirect',
      'AuthorizationHeaderMalformed',
      'IllegalLocationConstraintException',
      'Region is missing',
    ],
    statuses: [301],
    code: status.FAILED_PRECONDITION,
    reason: 'STORE_REGION',
    says: 'is in another region, or none is set',
    hint: 'set JSIGR_S3_REGION or AWS_REGION to the region of the bucket',
  },
  {
    names: ['AccessDenied', 'AllAccessDisabled', 'AccountProblem', 'InvalidObjectState', 'MethodNotAllowed'],
    statuses: [403, 405],
    code: status.FAILED_PRECONDITION,
    reason: 'STORE_NOT_WRITABLE',
    says: 'may not be used',
    hint: 'give the credentials the permissions that docs/operations.md lists',
  },
  {
    names: [
      ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'],
      ...[
        'TimeoutError',
        'AbortError',
        'NetworkingError',
        'RequestTimeout',
        'SlowDown',
        'Throttling',
        'IncompleteBody',
      ],
      ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
      ...['ERR_TLS_CERT_ALTNAME_INVALID', 'CERT_HAS_EXPIRED', 'EPROTO'],
    ],
    statuses: [408, 429, 500, 502, 503, 504],
    code: status.UNAVAILABLE,
    reason: 'STORE_UNAVAILABLE',
    says: 'does not answer',
    hint: 'is the server up, is JSIGR_S3_ENDPOINT right, does a network policy let it through, is its certificate known (NODE_EXTRA_CA_CERTS)?',
  },
];

/** What a failing S3 server becomes: one error that says which store, what its server says, and what to do. Requests, with their signatures, are not part of it. */
export function s3Error(error: unknown, store: string): JsigrError {
  if (error instanceof JsigrError) return error;
  const names = namesOf(error);
  const http = statusOf(error);
  const failure =
    failures.find((each) => each.names.some((name) => names.includes(name))) ??
    failures.find(({ statuses = [] }) => http !== undefined && statuses.includes(http));
  const { message = '' } = error instanceof Error ? error : { message: String(error) };
  const said = [names[0], message === names[0] ? '' : message].filter(Boolean).join(': ');
  return new JsigrError({
    code: failure?.code ?? status.INTERNAL,
    reason: failure?.reason ?? 'STORE_FAILED',
    message: `the artefact store ${store} ${failure?.says ?? 'failed'} (${said}${http ? `, HTTP ${http}` : ''})`,
    ...(failure ? { hint: failure.hint } : {}),
    // Neither the server's nor the network's: a fault of ours.
    ...(failure || http ? {} : { cause: error }),
  });
}

/** A key, or what it is part of, that is not there. */
export function isMissingKey(error: unknown): boolean {
  const names = namesOf(error);
  return names.includes('NoSuchKey') || (names.includes('NotFound') && statusOf(error) === 404);
}

/** Of the error and of what caused it. */
function namesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const { code, message } = error as NodeJS.ErrnoException;
  const inner = error instanceof AggregateError ? error.errors.flatMap(namesOf) : namesOf(error.cause);
  return [error.name, ...(typeof code === 'string' ? [code] : []), message, ...inner].filter(
    (name) => name !== 'Error',
  );
}

export function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode;
}
