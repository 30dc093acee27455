export {
  type Admit,
  admission,
  bearerToken,
  type IncomingCall,
  sameSecret,
  tokenOf,
} from './admission.ts';
export { artefactDigest, sha256 } from './artefact-digest.ts';
export {
  type ArtefactPlace,
  isS3,
  openArtefactStore,
  placeEnvironment,
  type S3Settings,
  s3Address,
} from './artefact-place.ts';
export { withQuota } from './artefact-quota.ts';
export {
  type ArtefactEntry,
  type ArtefactFileInfo,
  type ArtefactInfo,
  type ArtefactKind,
  type ArtefactStore,
  artefactKinds,
  CHUNK_BYTES,
  type Files,
} from './artefacts.ts';
export * from './client.ts';
export {
  ComputeError,
  type ComputeMethods,
  type ComputeThread,
  siblingModule,
  startComputeThread,
} from './compute.ts';
export { Condition } from './condition.ts';
export { directoryArtefactStore } from './directory-artefacts.ts';
export { tlsEnvironment, tlsFrom, tlsVariables, type WorkerConfig, workerConfig } from './environment.ts';
export { ERROR_DOMAIN, recogniseErrors } from './errors.ts';
export { type GrpcServer, type GrpcServerOptions, startGrpcServer } from './grpc-server.ts';
export { GrpcStrategy, type GrpcStrategyOptions } from './grpc-strategy.ts';
export { type HttpErrorBody, toHttpError } from './http-errors.ts';
export { holdLease, type Lease, type LeaseOptions } from './lease.ts';
export { createLogger, type Logger, nestLogger } from './logging.ts';
export { forgetStart } from './memory.ts';
export { drained, handle, pump, receive, STALLED_MS, signalOf, timeLeft } from './pump.ts';
export { settingsFromText } from './settings.ts';
export { onShutdown, shutdown } from './shutdown.ts';
export {
  type Attributes,
  inRequestSpan,
  inSpan,
  isTracing,
  keepingSpan,
  nameRequestSpan,
  startTracing,
  traceParent,
  tracingVariables,
  underTraceParent,
} from './tracing.ts';
export { unlessAborted } from './unless-aborted.ts';
export {
  Load,
  runWorker,
  START_ANOTHER,
  type WorkerContext,
  type WorkerDefinition,
  type WorkerKindName,
} from './worker.ts';
export { WorkerDoor } from './worker-door.ts';
