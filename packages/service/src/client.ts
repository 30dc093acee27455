// What a client of the services needs, without NestJS: a command must not wait for a server framework to load.
export { isS3, type S3Settings, s3Address, s3Endpoint, s3Region } from './artefact-place.ts';
export { type ComputeOptions, DEVICE_CHOICES, ENGINE_CHOICES } from './compute-options.ts';
export {
  alreadyExists,
  cancelled,
  failedPrecondition,
  invalidArgument,
  JsigrError,
  type JsigrErrorOptions,
  notFound,
  outOfRange,
  permissionDenied,
  resourceExhausted,
  unauthenticated,
  unavailable,
  type Violation,
} from './errors.ts';
export { type ClientClass, connect, MAX_MESSAGE_BYTES, type Peer, serverStream, unary, upload } from './grpc-client.ts';
export { toServiceError } from './grpc-errors.ts';
export { exitCodeOf } from './http-errors.ts';
export { listFromText } from './text-list.ts';
export { type ClientTls, openTls, type Tls, type TlsFiles } from './tls.ts';
