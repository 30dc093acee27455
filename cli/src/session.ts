import {
  DatasetServiceClient,
  EvaluationServiceClient,
  ExplanationServiceClient,
  MaintenanceServiceClient,
  ModelServiceClient,
  TrainingServiceClient,
} from '@jsigr/proto';
import { cancelled, connect, invalidArgument, JsigrError, openTls, type TlsFiles } from '@jsigr/service/client';
import { type Context, computeOf, dataDirectory, type GlobalOptions, refuseCompute, tlsOf } from './context.ts';
import { tokenFor } from './credentials.ts';
import type { FoundGateway, GatewayAddresses } from './gateways.ts';

/** Typed clients of one gateway, for as long as a command lasts. */
export interface Session {
  /** host:port of the gateway. */
  readonly address: string;
  /** host:port of the HTTP interface; unknown for a gateway that was given by --server. */
  readonly httpAddress?: string;
  /** Does the gateway end with this command? */
  readonly embedded: boolean;
  readonly training: TrainingServiceClient;
  readonly evaluations: EvaluationServiceClient;
  readonly explanations: ExplanationServiceClient;
  readonly models: ModelServiceClient;
  readonly datasets: DatasetServiceClient;
  readonly maintenance: MaintenanceServiceClient;
  /**
   * Where the gateway was another command's and has ended with it, takes the one that its data directory has now, or one of its own: the runs go on there. The clients
   * of the session are its clients then; a client that was kept is closed.
   * @returns whether the session has another gateway now
   */
  readonly renew: (signal: AbortSignal) => Promise<boolean>;
}

/**
 * Gives `use` a gateway: the one of --server or --context, else the one that runs on the data directory, else one of its own, which ends
 * with it. Whatever happens (Ctrl-C included), connections are closed and nothing is left running.
 * @throws JsigrError CANCELLED after a Ctrl-C that nobody else handled
 */
export async function withSession<T>(
  options: GlobalOptions,
  context: Context,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  for (let looks = 1; ; looks++) {
    const gateway = await reach(options, context);
    let answered = false;
    const onAnswer = () => {
      answered = true;
    };
    const opened = await openGateway(gateway, onAnswer);
    try {
      return await inSession(opened, options, context, use);
    } catch (error) {
      // That of another command may end between being found and the first call: nothing was asked of it yet.
      const isGone = gateway.isFound && !answered && NEVER_SENT.test(JsigrError.from(error).message);
      if (!isGone || looks === LOOKS) throw error;
    }
  }
}

/** How gRPC's client says that a call was never sent. */
const NEVER_SENT = /^No connection established/;

async function inSession<T>(
  first: Opened,
  options: GlobalOptions,
  context: Context,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  let current = first;
  const another = async (signal: AbortSignal) => {
    const { gateway, close } = current;
    if (!gateway.isBorrowed || (await findOn(options, context))?.grpcAddress === gateway.address) return false;
    current = await openGateway(await reach(options, context, signal));
    Object.assign(session, current.face);
    await close();
    return true;
  };
  let renewing: Promise<boolean> | undefined;
  const renew = (signal: AbortSignal) => {
    // Where none can be had just now, the old one may come back.
    renewing = another(signal).catch(() => false);
    return renewing;
  };
  const session: Session = { ...first.face, renew };
  let release = (): void => {};
  const interrupted = new Promise<never>((_, reject) => {
    release = context.terminal.onInterrupt(() => reject(cancelled('interrupted')));
  });
  try {
    return await Promise.race([use(session), interrupted]);
  } finally {
    release();
    await renewing;
    await current.close();
  }
}

interface Opened {
  readonly gateway: Reached;
  /** What a session has of it. */
  readonly face: Omit<Session, 'renew'>;
  /** Ends the connections, and the gateway if it is the command's own. */
  readonly close: () => Promise<void>;
}

async function openGateway(gateway: Reached, onAnswer?: () => void): Promise<Opened> {
  const { address, httpAddress } = gateway;
  const tls = gateway.files && (await openTls(gateway.files, quiet));
  const peer = { address, ...tokenOf(gateway.token), tls: tls?.client, ...(onAnswer && { onAnswer }) };
  const clients = {
    training: connect(TrainingServiceClient, peer),
    evaluations: connect(EvaluationServiceClient, peer),
    explanations: connect(ExplanationServiceClient, peer),
    models: connect(ModelServiceClient, peer),
    datasets: connect(DatasetServiceClient, peer),
    maintenance: connect(MaintenanceServiceClient, peer),
  };
  return {
    gateway,
    face: { ...clients, address, ...(httpAddress && { httpAddress }), embedded: gateway.isOwn === true },
    close: async () => {
      for (const client of Object.values(clients)) client.close();
      tls?.close();
      await gateway.close?.();
    },
  };
}

const quiet = { info: () => {}, error: () => {} };

interface Reached {
  readonly address: string;
  readonly token?: string;
  /** Certificates; absent where nothing is encrypted. */
  readonly files?: TlsFiles | undefined;
  readonly httpAddress?: string;
  /** It ends with the command. */
  readonly isOwn?: true;
  /** It was found on the data directory: that of `jsigr up`, or of another command. */
  readonly isFound?: true;
  /** It is another command's, with which it ends. */
  readonly isBorrowed?: boolean;
  readonly close?: () => Promise<void>;
}

/** Another command's gateway may come or go just now: so often it is looked for again, and so long it is waited in between, in milliseconds. */
const LOOKS = 20;
const LOOK_AGAIN_MS = 500;

async function reach(options: GlobalOptions, context: Context, signal?: AbortSignal): Promise<Reached> {
  for (let looks = 1; ; looks++) {
    signal?.throwIfAborted();
    try {
      return await reachNow(options, context);
    } catch (error) {
      if (looks === LOOKS || JsigrError.from(error).reason !== 'DATA_DIRECTORY_IN_USE') throw error;
      await context.terminal.wait(LOOK_AGAIN_MS);
    }
  }
}

async function reachNow(options: GlobalOptions, { terminal, gateways }: Context): Promise<Reached> {
  if (options.context !== undefined) return inCluster(options.context, options, { terminal, gateways });
  if (options.server) {
    refuseCompute(options, options.server);
    const files = tlsOf(options, terminal);
    return { address: options.server, files, ...tokenOf(await tokenFor(options.server, options, terminal)) };
  }
  const found = await findOn(options, { terminal, gateways });
  if (found) {
    refuseCompute(options, found.grpcAddress);
    const token = (await tokenFor(found.grpcAddress, options, terminal)) ?? found.token;
    return {
      address: found.grpcAddress,
      files: found.tls,
      isFound: true,
      isBorrowed: found.embedded,
      ...tokenOf(token),
      ...httpOf(found),
    };
  }
  const compute = computeOf(options, terminal);
  const started = await gateways.start({
    dataDirectory: dataDirectory(options, terminal),
    embedded: true,
    host: '127.0.0.1',
    grpcPort: 0,
    httpPort: 0,
    // The variables for certificates mean those of a client here.
    tls: null,
    ...compute,
  });
  return {
    address: started.grpcAddress,
    files: started.tls,
    ...tokenOf(started.token),
    ...httpOf(started),
    isOwn: true,
    close: () => started.close(),
  };
}

/** The gateway that runs on the data directory. */
function findOn(options: GlobalOptions, { terminal, gateways }: Context): Promise<FoundGateway | undefined> {
  return gateways.find(dataDirectory(options, terminal), tlsOf(options, terminal));
}

/** The gateway in the cluster of a kubeconfig's context. */
async function inCluster(context: string, options: GlobalOptions, { terminal, gateways }: Context): Promise<Reached> {
  if (options.server) throw invalidArgument('--context', '--server names a gateway too: give one of them');
  refuseCompute(options, `the context ${context}`);
  const token = tokenOf(await tokenFor(`context/${context}`, options, terminal));
  const { grpcAddress: address, serverName, close } = await gateways.forward({ context, namespace: options.namespace });
  // The certificate is not made out for a port of this machine.
  const given = tlsOf(options, terminal);
  return { address, files: given && { ...given, serverName: given.serverName ?? serverName }, ...token, close };
}

function tokenOf(token: string | undefined): { token?: string } {
  return token ? { token } : {};
}

function httpOf({ httpAddress }: GatewayAddresses): { httpAddress?: string } {
  return httpAddress ? { httpAddress } : {};
}
