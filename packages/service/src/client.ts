// What a client of the services needs, without NestJS: a command must not wait for a server framework to load.
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
  resourceExhausted,
  unavailable,
  type Violation,
} from './errors.ts';
export { type ClientClass, connect, MAX_MESSAGE_BYTES, serverStream, unary, upload } from './grpc-client.ts';
export { toServiceError } from './grpc-errors.ts';
export { exitCodeOf } from './http-errors.ts';
