import type { ServiceDefinition } from '@grpc/grpc-js';
import { WorkerKind } from '@jsigr/proto';
import type { DynamicModule } from '@nestjs/common';
import type { ArtefactStore } from './artefacts.ts';
import type { ComputeOptions } from './compute-options.ts';
import { directoryArtefactStore } from './directory-artefacts.ts';
import { type WorkerConfig, workerConfig } from './environment.ts';
import { startGrpcServer } from './grpc-server.ts';
import { exitCodeOf } from './http-errors.ts';
import { holdLease } from './lease.ts';
import { createLogger, type Logger } from './logging.ts';
import { onShutdown, shutdown } from './shutdown.ts';

export type WorkerKindName = 'trainer' | 'attacker' | 'explainer';

const kinds: Record<WorkerKindName, WorkerKind> = {
  trainer: WorkerKind.WORKER_KIND_TRAINER,
  attacker: WorkerKind.WORKER_KIND_ATTACKER,
  explainer: WorkerKind.WORKER_KIND_EXPLAINER,
};

/** Counts requests in progress, for the lease's `load`. */
export class Load {
  #count = 0;
  get count(): number {
    return this.#count;
  }
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#count++;
    try {
      return await work();
    } finally {
      this.#count--;
    }
  }
}

/** What a service gets from the process that it runs in. */
export interface WorkerContext {
  readonly artefacts: ArtefactStore;
  readonly logger: Logger;
  readonly compute: ComputeOptions;
  /** Aborted when the worker has to stop: SIGTERM, the lease lost, the parent gone. */
  readonly signal: AbortSignal;
  readonly load: Load;
}

export interface WorkerDefinition {
  readonly kind: WorkerKindName;
  readonly module: (context: WorkerContext) => DynamicModule;
  readonly services: Readonly<Record<string, ServiceDefinition>>;
  /** Requests that it takes at once; 1 unless told. */
  readonly capacity?: number;
}

/**
 * The whole life of a worker process: configuration from the environment (`workerConfig`), a gRPC server on a free port, a lease at the gateway, an
 * orderly end on SIGTERM. When the lease is lost or the parent process is gone it stops computing and exits: nothing keeps running on its own.
 */
export async function runWorker(definition: WorkerDefinition): Promise<void> {
  const logger = createLogger(definition.kind);
  try {
    await startWorker(definition, workerConfig(process.env), logger);
  } catch (error) {
    logger.fatal(error, `the ${definition.kind} cannot start: ${error instanceof Error ? error.message : error}`);
    process.exit(exitCodeOf(error));
  }
}

async function startWorker(definition: WorkerDefinition, config: WorkerConfig, logger: Logger): Promise<void> {
  const { kind, module, services, capacity = 1 } = definition;
  const stopping = new AbortController();
  const load = new Load();
  const context: WorkerContext = {
    artefacts: directoryArtefactStore(config.artefacts),
    logger,
    signal: stopping.signal,
    load,
    compute: config.compute,
  };
  const leave = (why: string, code: number) => {
    if (stopping.signal.aborted) return;
    logger.warn(why);
    stopping.abort(new DOMException(why, 'AbortError'));
    setTimeout(() => process.exit(code), 3000).unref();
    void shutdown().then(() => process.exit(code));
  };
  // Before anything else: the parent may die while the server starts.
  process.once('disconnect', () => leave('the gateway is gone: stopping', 1));

  const server = await startGrpcServer({
    module: module(context),
    services,
    host: config.host,
    port: config.port,
    logger,
  });
  onShutdown(() => server.close(500));
  const leasing = holdLease({
    gateway: config.gateway,
    kind: kinds[kind],
    workerId: config.workerId,
    address: server.address,
    capacity,
    load: () => load.count,
    logger,
    onLost: (error) => leave(`${error.message}: stopping`, 1),
  });
  // SIGTERM may come while the worker registers: what it has by then is given back.
  onShutdown(async () => (await leasing.catch(() => undefined))?.release());
  onShutdown(() => stopping.abort(new DOMException('the worker is shutting down', 'AbortError')));
  await leasing;
  logger.info({ address: server.address, worker: config.workerId }, `${kind} is ready`);
}
