import {
  DatasetServiceClient,
  EvaluationServiceClient,
  ExplanationServiceClient,
  ModelServiceClient,
  TrainingServiceClient,
} from '@jsigr/proto';
import { cancelled, connect } from '@jsigr/service/client';
import { type Context, computeOf, dataDirectory, type GlobalOptions, refuseCompute } from './context.ts';
import type { GatewayAddresses } from './gateways.ts';

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
}

/**
 * Gives `use` a gateway: the one of --server, else the one that runs on the data directory, else one of its own, which ends
 * with it. Whatever happens (Ctrl-C included), connections are closed and nothing is left running.
 * @throws JsigrError CANCELLED after a Ctrl-C that nobody else handled
 */
export async function withSession<T>(
  options: GlobalOptions,
  context: Context,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const gateway = await reach(options, context);
  const { address } = gateway;
  const clients = {
    training: connect(TrainingServiceClient, address),
    evaluations: connect(EvaluationServiceClient, address),
    explanations: connect(ExplanationServiceClient, address),
    models: connect(ModelServiceClient, address),
    datasets: connect(DatasetServiceClient, address),
  };
  let release = (): void => {};
  const interrupted = new Promise<never>((_, reject) => {
    release = context.terminal.onInterrupt(() => reject(cancelled('interrupted')));
  });
  const { httpAddress } = gateway;
  try {
    const session = { ...clients, address, ...(httpAddress && { httpAddress }), embedded: gateway.close !== undefined };
    return await Promise.race([use(session), interrupted]);
  } finally {
    release();
    for (const client of Object.values(clients)) client.close();
    await gateway.close?.();
  }
}

interface Reached {
  readonly address: string;
  readonly httpAddress?: string;
  readonly close?: () => Promise<void>;
}

async function reach(options: GlobalOptions, { terminal, gateways }: Context): Promise<Reached> {
  if (options.server) {
    refuseCompute(options, options.server);
    return { address: options.server };
  }
  const directory = dataDirectory(options, terminal);
  const found = await gateways.find(directory);
  if (found) {
    refuseCompute(options, found.grpcAddress);
    return { address: found.grpcAddress, ...httpOf(found) };
  }
  const compute = computeOf(options, terminal);
  const started = await gateways.start({
    dataDirectory: directory,
    host: '127.0.0.1',
    grpcPort: 0,
    httpPort: 0,
    ...compute,
  });
  return { address: started.grpcAddress, ...httpOf(started), close: () => started.close() };
}

function httpOf({ httpAddress }: GatewayAddresses): { httpAddress?: string } {
  return httpAddress ? { httpAddress } : {};
}
