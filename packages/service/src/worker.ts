import type { ServiceDefinition } from '@grpc/grpc-js';
import { WorkerKind } from '@jsigr/proto';
import type { DynamicModule } from '@nestjs/common';
import { openArtefactStore } from './artefact-place.ts';
import { withQuota } from './artefact-quota.ts';
import type { ArtefactStore } from './artefacts.ts';
import type { ComputeOptions } from './compute-options.ts';
import { Condition } from './condition.ts';
import { type WorkerConfig, workerConfig } from './environment.ts';
import { gpuMemoryMeter } from './gpu-memory.ts';
import { startGrpcServer } from './grpc-server.ts';
import { exitCodeOf } from './http-errors.ts';
import { holdLease, type Lease } from './lease.ts';
import { createLogger, type Logger } from './logging.ts';
import { exitAfterShutdown, onShutdown, shutdown } from './shutdown.ts';
import { type ClientTls, openTls } from './tls.ts';
import { startTracing } from './tracing.ts';
import { WorkerDoor } from './worker-door.ts';

export type WorkerKindName = 'trainer' | 'attacker' | 'explainer';

/**
 * Exit code of a worker that was told to go (SIGTERM), or has no gateway any more: through no fault of its own, and what it had can be gone on with. It is
 * sysexits' EX_TEMPFAIL; nothing else here ends with it.
 */
export const START_ANOTHER = 75;

const kinds: Record<WorkerKindName, WorkerKind> = {
  trainer: WorkerKind.WORKER_KIND_TRAINER,
  attacker: WorkerKind.WORKER_KIND_ATTACKER,
  explainer: WorkerKind.WORKER_KIND_EXPLAINER,
};

/** Counts requests in progress, for the lease's `load`. */
export class Load {
  #count = 0;
  readonly #changed = new Condition();
  get count(): number {
    return this.#count;
  }
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#count++;
    try {
      return await work();
    } finally {
      this.#count--;
      this.#changed.notify();
    }
  }
  /** Resolves once there is none. */
  async none(): Promise<void> {
    await this.#changed.until(() => this.#count === 0);
  }
}

/** What a service gets from the process that it runs in. */
export interface WorkerContext {
  readonly artefacts: ArtefactStore;
  readonly logger: Logger;
  readonly compute: ComputeOptions;
  /** Private networks in which live endpoints may be asked; none unless told. */
  readonly endpointNetworks?: readonly string[];
  /** Aborted when the worker has to stop: SIGTERM, the lease lost, the parent gone. */
  readonly signal: AbortSignal;
  readonly load: Load;
  /** How often a run in progress keeps what it could go on from, in milliseconds. */
  readonly stateMs: number;
  /** How long what computes may give no sign of life before it is ended, in milliseconds; 0: for ever. */
  readonly silenceMs: number;
  /** Of the lease that the worker holds; undefined before it has one. */
  readonly fencingToken: () => number | undefined;
  /** Registers what hands the work in progress back on SIGTERM; only afterwards, or when the grace period is over, `signal` is aborted. */
  readonly onDrain: (task: () => Promise<void>) => void;
  /** Who may call the worker besides the gateway. */
  readonly door: Pick<WorkerDoor, 'invite'>;
  /** How the worker makes sure of others; absent where nothing is encrypted. */
  readonly tls?: ClientTls | undefined;
}

export interface WorkerDefinition {
  readonly kind: WorkerKindName;
  readonly module: (context: WorkerContext) => DynamicModule;
  readonly services: Readonly<Record<string, ServiceDefinition>>;
  /** Requests that it takes at once; 1 unless told. */
  readonly capacity?: number;
  /** One line about what computes here. @throws Error where what was asked for is not there */
  readonly describeDevice?: (compute: ComputeOptions) => Promise<string>;
}

/**
 * The whole life of a worker process: configuration from the environment (`workerConfig`), a gRPC server on a free port, a lease at the gateway, an
 * orderly end on SIGTERM (`START_ANOTHER`; 0 once nobody needs it any more). When the lease is lost or the parent process is gone it stops computing and exits: nothing keeps running on its own.
 */
export async function runWorker(definition: WorkerDefinition): Promise<void> {
  const logger = createLogger(definition.kind);
  exitAfterShutdown(START_ANOTHER);
  try {
    await startWorker(definition, workerConfig(process.env), logger);
  } catch (error) {
    logger.fatal(error, `the ${definition.kind} cannot start: ${error instanceof Error ? error.message : error}`);
    process.exit(exitCodeOf(error));
  }
}

async function startWorker(definition: WorkerDefinition, config: WorkerConfig, logger: Logger): Promise<void> {
  const { kind, module, services, capacity = 1, describeDevice } = definition;
  const stopTracing = await startTracing(`jsigr-${kind}`, logger);
  // The last of all, when every span has ended.
  onShutdown(stopTracing);
  // In a container: better no worker than one that fails at its first request, because another node may have what this one lacks.
  if (config.checkDevice && describeDevice) logger.warn(await describeDevice(config.compute));
  const stopping = new AbortController();
  const load = new Load();
  const drains: (() => Promise<void>)[] = [];
  let lease: Lease | undefined;
  const door = new WorkerDoor(config.token);
  const tls = config.tls && (await openTls(config.tls, logger));
  const context: WorkerContext = {
    artefacts: withQuota(await openArtefactStore(config.place), config.artefactBytes),
    logger,
    signal: stopping.signal,
    load,
    door,
    tls: tls?.client,
    compute: config.compute,
    endpointNetworks: config.endpointNetworks,
    stateMs: config.stateMs,
    silenceMs: config.silenceMs,
    fencingToken: () => lease?.fencingToken,
    onDrain: (task) => void drains.push(task),
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
    healthPort: config.healthPort,
    admit: door.admit,
    tls,
    logger,
  });
  onShutdown(() => server.close(500));
  const leasing = holdLease({
    gateway: { address: config.gateway, token: config.token, tls: tls?.client },
    kind: kinds[kind],
    workerId: config.workerId,
    address: server.address,
    capacity,
    load: () => load.count,
    gpuMemory: gpuMemoryMeter({ device: config.compute.device }),
    logger,
    onLost: (error) => leave(`${error.message}: stopping`, START_ANOTHER),
    onReleased: () => leave('nobody needs this worker any more: stopping', 0),
  });
  // SIGTERM may come while the worker registers: what it has by then is given back.
  onShutdown(async () => (await leasing.catch(() => undefined))?.release());
  onShutdown(() => stopping.abort(new DOMException('the worker is shutting down', 'AbortError')));
  onShutdown(() => drain(drains, config.graceMs), config.graceMs);
  // The first thing on SIGTERM, so that no new work comes while the present work is finished.
  onShutdown(async () => (await leasing.catch(() => undefined))?.drain());
  lease = await leasing;
  logger.info({ address: server.address, worker: config.workerId }, `${kind} is ready`);
}

/** Never rejects. */
async function drain(tasks: readonly (() => Promise<void>)[], graceMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, graceMs);
  });
  await Promise.race([Promise.allSettled(tasks.map((task) => task())), late]);
  clearTimeout(timer);
}
