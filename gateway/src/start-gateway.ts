import { constants } from 'node:fs';
import { access as isWritable } from 'node:fs/promises';
import {
  failedPrecondition,
  forgetStart,
  isS3,
  JsigrError,
  type Logger,
  openArtefactStore,
  openTls,
  placeEnvironment,
  startGrpcServer,
  startTracing,
  type TlsFiles,
  tracingVariables,
  withQuota,
} from '@jsigr/service';
import { Access } from './access/access.ts';
import { openAudit } from './access/audit.ts';
import { TenantLimits } from './access/limits.ts';
import { authenticatorsOf, checkHost, ownerToken } from './access/sign-in.ts';
import { Strangers } from './access/strangers.ts';
import { assemble } from './assembly.ts';
import { type DataDirectory, takeDataDirectory } from './data-directory.ts';
import { grpcModule } from './grpc/grpc.module.ts';
import { gatewayServices } from './grpc/services.ts';
import { startHttpServer } from './http/http-server.ts';
import { connectKubernetes } from './kubernetes/client.ts';
import { isLoopback, localAddress } from './loopback.ts';
import { Metrics } from './operations/metrics.ts';
import { Readiness } from './operations/readiness.ts';
import { runsOf } from './operator/runs.ts';
import { startOperator } from './operator/start-operator.ts';
import { type GatewayOptions, type Settings, settingsOf } from './options.ts';
import { checkPort } from './ports.ts';
import { FENCING_TOKENS, openStore, type Store } from './store/store.ts';
import { WorkerCredentials } from './workers/credentials.ts';
import { ARTEFACT_FOLDER, POD_GRACE_SECONDS } from './workers/kubernetes/job.ts';
import { KubernetesPool } from './workers/kubernetes/kubernetes-pool.ts';
import type { WorkerPool } from './workers/pool.ts';
import { ProcessPool } from './workers/process-pool.ts';
import { WorkerRegistry } from './workers/registry.ts';

export interface Gateway {
  /** host:port */
  readonly grpcAddress: string;
  /** host:port; absent without HTTP face. */
  readonly httpAddress?: string;
  /** Lets the one who started it in, whatever others need. */
  readonly token: string;
  /** How clients on this machine make sure of it; absent where nothing is encrypted. */
  readonly tls?: TlsFiles;
  /** Hands back the runs that are going on (the next gateway goes on with them), stops workers and servers, gives the data directory back. */
  close(): Promise<void>;
}

const WARM_FACTOR = 10;
const CALLS_GRACE_MS = 500;

/**
 * Starts a gateway: run store, artefacts, workers on demand, gRPC and HTTP. If it cannot start, nothing is left behind.
 * The process ends by itself (exit code 1) once another gateway has its data directory.
 * @throws JsigrError DATA_DIRECTORY_IN_USE, DATA_DIRECTORY_UNUSABLE, ADDRESS_UNAVAILABLE, SCHEMA_TOO_NEW, DATABASE_UNAVAILABLE, DATABASE_IN_USE, INVALID_ARGUMENT naming the option.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const settings = settingsOf(options);
  await checkHost(settings);
  const { logger } = settings;
  const directory = await takeDataDirectory(settings.dataDirectory, {
    onWaiting: (why) => logger.warn(why),
    onLost: (error) => end(error, logger),
  });
  const closing: (() => Promise<unknown>)[] = [() => directory.release()];
  const close = async () => {
    for (const task of closing.splice(0).reverse()) await task();
  };
  try {
    return { ...(await start(settings, directory, closing)), token: directory.ownerToken, close };
  } catch (error) {
    await close();
    throw JsigrError.from(error);
  }
}

/** Without another word: whatever is written from now on, the database's farewell included, would spoil what another gateway has there. */
function end({ message, reason, hint }: JsigrError, logger: Logger): never {
  logger.fatal({ reason, hint }, message);
  process.exit(1);
}

async function start(settings: Settings, directory: DataDirectory, closing: (() => Promise<unknown>)[]) {
  const { host, grpcPort, httpPort, healthPort, logger } = settings;
  // Ends last, when every span has.
  closing.push(await startTracing('jsigr-gateway', logger));
  await checkPort(host, grpcPort);
  if (httpPort !== null) await checkPort(host, httpPort);
  if (healthPort !== undefined) await checkPort(host, healthPort);
  const tls = settings.tls && (await openTls(settings.tls, logger));
  if (tls) closing.push(async () => tls.close());
  const credentials = new WorkerCredentials(await directory.secret());
  const limits = new TenantLimits(settings.limits);
  const access = new Access({
    authenticators: [ownerToken(directory.ownerToken), ...authenticatorsOf(settings)],
    workers: credentials,
    limits,
    strangers: new Strangers(settings.access.failedSignInsPerMinute),
    logger,
  });
  const audit = openAudit(directory.audit, logger);
  closing.push(async () => audit.close());
  const store = await openDatabase(directory, settings.databaseUrl);
  closing.push(() => store.close());
  await store.own();
  const place = { artefacts: settings.artefacts ?? directory.artefacts, s3: settings.s3 };
  const artefacts = withQuota(await openArtefactStore(place), settings.artefactBytes);
  const registry = new WorkerRegistry({ leaseMs: settings.leaseMs, nextToken: () => store.next(FENCING_TOKENS) });
  const isCluster = settings.workers === 'kubernetes';
  // Workers register with the gateway, whose address is known once it listens; before that none is started.
  let address = '';
  const idleMs = settings.idleSeconds * 1000;
  const variables = {
    // A volume is mounted where pods look for it.
    ...placeEnvironment(isS3(place.artefacts) || !isCluster ? place : { artefacts: ARTEFACT_FOLDER }),
    JSIGR_ENGINE: settings.engine,
    JSIGR_DEVICE: settings.device,
    JSIGR_ENDPOINT_NETWORKS: settings.endpointNetworks.join(),
    JSIGR_SILENCE_SECONDS: String(settings.silenceSeconds),
    ...(settings.artefactBytes === undefined ? {} : { JSIGR_ARTEFACT_BYTES: String(settings.artefactBytes) }),
    ...tracingVariables(),
  };
  const common = { registry, gatewayAddress: () => settings.advertisedAddress ?? address, variables, logger };
  const client = isCluster || settings.operator ? await connectKubernetes(settings.namespace) : undefined;
  const inCluster =
    client && isCluster
      ? new KubernetesPool({
          ...common,
          client,
          tls: tls?.client,
          image: settings.workerImage,
          variables: {
            ...variables,
            JSIGR_LOG_LEVEL: logger.level,
            JSIGR_STATE_SECONDS: String(settings.stateSeconds),
            JSIGR_GRACE_SECONDS: String(Math.max(settings.graceMs / 1000, POD_GRACE_SECONDS)),
          },
        })
      : undefined;
  if (inCluster) credentials.alsoBy((token) => inCluster.verify(token));
  const pool: WorkerPool =
    inCluster ??
    new ProcessPool({
      ...common,
      credentials,
      tls: tls && settings.tls && { files: settings.tls, client: tls.client },
      entry: settings.workerEntry,
      stateSeconds: settings.stateSeconds,
      graceMs: settings.graceMs,
      idleMs: { trainer: idleMs, attacker: idleMs, explainer: idleMs * WARM_FACTOR },
    });
  const { application, conductor } = assemble({
    ...settings,
    store,
    artefacts,
    registry,
    pool,
    credentials,
    audit,
    limits,
    ...(inCluster ? { demand: inCluster.explainers } : {}),
  });
  closing.push(
    () => application.datasets.close(),
    async () => application.registry.close(),
  );
  await application.models.recoverAll(logger);

  const metrics = new Metrics();
  metrics.watch({ pool, runs: store.runs, explanations: () => application.explanations.open, registry });
  const readiness = new Readiness(
    [
      { name: 'the database', work: () => store.runs.countActive('', 1) },
      { name: 'the data directory', work: () => isWritable(directory.path, constants.W_OK) },
    ],
    logger,
  );
  await conductor.adopt();
  const grpc = await startGrpcServer({
    module: grpcModule(application),
    services: gatewayServices,
    host,
    port: grpcPort,
    healthPort,
    admit: access.admit,
    interceptors: [metrics.interceptor],
    tls,
    logger,
  });
  grpc.setServing(false);
  address = localAddress(grpc.address);
  closing.push(() => grpc.close(CALLS_GRACE_MS));
  closing.push(async () => readiness.close());
  const http =
    httpPort === null
      ? undefined
      : await startHttpServer({
          application,
          access,
          operations: { metrics, readiness },
          tls,
          host,
          port: httpPort,
          logger,
        });
  if (http) closing.push(() => http.close());
  closing.push(
    () => pool.close(),
    () => conductor.close(),
  );

  const addresses = { grpcAddress: grpc.address, ...(http ? { httpAddress: http.address } : {}) };
  const { embedded } = settings;
  const local = { embedded, grpcAddress: address, ...(http ? { httpAddress: localAddress(http.address) } : {}) };
  const { ca, serverName } = settings.tls ?? {};
  if (!tls && !isLoopback(host)) logger.warn('connections are not encrypted, and tokens travel with them: set tls');
  await directory.announce({ ...local, ...(ca ? { tls: { ca, ...(serverName ? { serverName } : {}) } } : {}) });
  await conductor.resume();
  await readiness.start((ready) => grpc.setServing(ready));
  if (client && settings.operator) {
    const runs = runsOf({ application, conductor, store: store.runs, audit });
    const operator = startOperator({ client, runs, logger, onReconciled: metrics.reconciled });
    closing.push(() => operator.stop());
  }
  logger.info({ ...addresses, dataDirectory: directory.path }, 'the gateway is ready');
  forgetStart();
  return { ...addresses, ...(settings.tls ? { tls: settings.tls } : {}) };
}

async function openDatabase({ database }: DataDirectory, url: string | undefined): Promise<Store> {
  try {
    return await openStore(url === undefined ? { directory: database } : { url });
  } catch (error) {
    if (error instanceof JsigrError) throw error;
    throw failedPrecondition(
      'DATABASE_UNUSABLE',
      `the database ${url === undefined ? database : 'of JSIGR_DATABASE_URL'} cannot be opened: ${error instanceof Error ? error.message : error}`,
      'is the disk full, or the folder damaged? Restore it from a backup, or choose another data directory',
    );
  }
}
