import { resolve } from 'node:path';
import type { Forwarded, ForwardOptions } from '@jsigr/gateway';
import { type ComputeOptions, invalidArgument, type TlsFiles } from '@jsigr/service/client';

/** Where a gateway listens. */
export interface GatewayAddresses {
  /** host:port */
  readonly grpcAddress: string;
  /** host:port of the HTTP interface. */
  readonly httpAddress?: string;
  /** Lets the owner of the data directory in, whatever others need. */
  readonly token?: string;
  /** How to make sure of it; absent where nothing is encrypted. */
  readonly tls?: TlsFiles;
}

export interface FoundGateway extends GatewayAddresses {
  /** It is another command's, and ends with it. */
  readonly embedded: boolean;
}

export interface RunningGateway extends GatewayAddresses {
  readonly close: () => Promise<void>;
}

export interface GatewayStart extends Pick<ComputeOptions, 'engine' | 'device'> {
  readonly dataDirectory: string;
  /** It ends with this command. */
  readonly embedded?: true;
  /** What is not told comes from the settings. */
  readonly host?: string | undefined;
  /** 0: any free port. */
  readonly grpcPort?: number | undefined;
  readonly httpPort?: number | undefined;
  /** null: not encrypted, whatever the settings say. */
  readonly tls?: TlsFiles | null;
  /** Private networks (CIDR notation) in which live endpoints may be asked. */
  readonly endpointNetworks?: readonly string[];
  /** File of settings. */
  readonly config?: string | undefined;
  /** Settings by the place that they would have in the file. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

/** How the command comes by a gateway; tests pass their own. */
export interface Gateways {
  /** The gateway that runs on this data directory, if there is one. */
  readonly find: (dataDirectory: string, tls?: TlsFiles) => Promise<FoundGateway | undefined>;
  readonly start: (options: GatewayStart) => Promise<RunningGateway>;
  /** A way to the gateway in the cluster of a kubeconfig's context, for as long as it is not closed. */
  readonly forward: (options: ForwardOptions) => Promise<Forwarded>;
}

/** The gateway of this installation; loaded when it is needed, because most of a command's start-up time goes there. */
export const installedGateway: Gateways = {
  find: async (dataDirectory, tls) => {
    const { findGateway } = await import('@jsigr/gateway');
    return findGateway(dataDirectory, tls);
  },
  forward: async (options) => {
    const { forwardGateway } = await import('@jsigr/gateway/forward');
    return forwardGateway(options);
  },
  start: async (options) => {
    const { readConfig, startGateway } = await import('@jsigr/gateway');
    // What no option of the command says comes from the gateway's own variables, e.g. JSIGR_DATABASE_URL.
    const { config: file, settings, ...given } = options;
    const { dataDirectory, ...config } = await readConfig({ environment: process.env, file, given: settings });
    if (dataDirectory !== undefined && resolve(dataDirectory) !== given.dataDirectory)
      throw invalidArgument('dataDirectory', `the settings say ${dataDirectory}, the command ${given.dataDirectory}`);
    const told = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    const { tls, ...rest } = { ...config, ...told, dataDirectory: given.dataDirectory };
    return startGateway({ ...rest, ...(tls ? { tls } : {}) });
  },
};
