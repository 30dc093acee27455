import { directoryArtefactStore, failedPrecondition, JsigrError, startGrpcServer } from '@jsigr/service';
import { assemble } from './assembly.ts';
import { type DataDirectory, takeDataDirectory } from './data-directory.ts';
import { grpcModule } from './grpc/grpc.module.ts';
import { gatewayServices } from './grpc/services.ts';
import { startHttpServer } from './http/http-server.ts';
import { type GatewayOptions, type Settings, settingsOf } from './options.ts';
import { checkPort } from './ports.ts';
import { openStore, type Store } from './store/store.ts';
import { ProcessPool } from './workers/process-pool.ts';
import { WorkerRegistry } from './workers/registry.ts';

export interface Gateway {
  /** host:port */
  readonly grpcAddress: string;
  /** host:port; absent without HTTP face. */
  readonly httpAddress?: string;
  /** Ends runs that are going on (as FAILED; queued ones stay queued), stops workers and servers, gives the data directory back. */
  close(): Promise<void>;
}

const LEASE_MS = 20_000;
const WARM_FACTOR = 10;
const CALLS_GRACE_MS = 500;

/**
 * Starts a gateway: run store, artefacts, workers on demand, gRPC and HTTP. If it cannot start, nothing is left behind.
 * @throws JsigrError DATA_DIRECTORY_IN_USE, DATA_DIRECTORY_UNUSABLE, ADDRESS_UNAVAILABLE, SCHEMA_TOO_NEW, INVALID_ARGUMENT naming the option.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const settings = settingsOf(options);
  const directory = await takeDataDirectory(settings.dataDirectory);
  const closing: (() => Promise<unknown>)[] = [() => directory.release()];
  const close = async () => {
    for (const task of closing.splice(0).reverse()) await task();
  };
  try {
    return { ...(await start(settings, directory, closing)), close };
  } catch (error) {
    await close();
    throw JsigrError.from(error);
  }
}

async function start(settings: Settings, directory: DataDirectory, closing: (() => Promise<unknown>)[]) {
  const { host, grpcPort, httpPort, logger } = settings;
  await checkPort(host, grpcPort);
  if (httpPort !== null) await checkPort(host, httpPort);
  const store = await openDatabase(directory);
  closing.push(() => store.close());
  const artefacts = directoryArtefactStore(directory.artefacts);
  const registry = new WorkerRegistry({ leaseMs: LEASE_MS, nextToken: () => store.next('fencing-token') });
  // Workers register with the gateway, whose address is known once it listens; before that none is started.
  let address = '';
  const idleMs = settings.idleSeconds * 1000;
  const pool = new ProcessPool({
    registry,
    gatewayAddress: () => address,
    artefacts: directory.artefacts,
    entry: settings.workerEntry,
    compute: { JSIGR_ENGINE: settings.engine, JSIGR_DEVICE: settings.device },
    idleMs: { trainer: idleMs, attacker: idleMs, explainer: idleMs * WARM_FACTOR },
    logger,
  });
  const { application, conductor } = assemble({ ...settings, store, artefacts, registry, pool });
  closing.push(
    () => application.datasets.close(),
    async () => application.registry.close(),
  );
  await application.models.recoverAll(logger);

  const grpc = await startGrpcServer({
    module: grpcModule(application),
    services: gatewayServices,
    host,
    port: grpcPort,
    logger,
  });
  address = grpc.address;
  closing.push(() => grpc.close(CALLS_GRACE_MS));
  const http = httpPort === null ? undefined : await startHttpServer({ application, host, port: httpPort, logger });
  if (http) closing.push(() => http.close());
  closing.push(
    () => pool.close(),
    () => conductor.close(),
  );

  const addresses = { grpcAddress: grpc.address, ...(http ? { httpAddress: http.address } : {}) };
  await directory.announce(addresses);
  await conductor.resume();
  logger.info({ ...addresses, dataDirectory: directory.path }, 'the gateway is ready');
  return addresses;
}

async function openDatabase({ database }: DataDirectory): Promise<Store> {
  try {
    return await openStore({ directory: database });
  } catch (error) {
    if (error instanceof JsigrError) throw error;
    throw failedPrecondition(
      'DATABASE_UNUSABLE',
      `the database ${database} cannot be opened: ${error instanceof Error ? error.message : error}`,
      'is the disk full, or the folder damaged? Restore it from a backup, or choose another data directory',
    );
  }
}
