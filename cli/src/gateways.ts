import type { ComputeOptions } from '@jsigr/service/client';

/** Where a gateway listens. */
export interface GatewayAddresses {
  /** host:port */
  readonly grpcAddress: string;
  /** host:port of the HTTP interface. */
  readonly httpAddress?: string;
}

export interface RunningGateway extends GatewayAddresses {
  readonly close: () => Promise<void>;
}

export interface GatewayStart extends Pick<ComputeOptions, 'engine' | 'device'> {
  readonly dataDirectory: string;
  readonly host: string;
  /** 0: any free port. */
  readonly grpcPort: number;
  readonly httpPort: number;
}

/** How the command comes by a gateway; tests pass their own. */
export interface Gateways {
  /** The gateway that runs on this data directory, if there is one. */
  readonly find: (dataDirectory: string) => Promise<GatewayAddresses | undefined>;
  readonly start: (options: GatewayStart) => Promise<RunningGateway>;
}

/** The gateway of this installation; loaded when it is needed, because most of a command's start-up time goes there. */
export const installedGateway: Gateways = {
  find: async (dataDirectory) => {
    const { findGateway } = await import('@jsigr/gateway');
    return findGateway(dataDirectory);
  },
  start: async (options) => {
    const { startGateway } = await import('@jsigr/gateway');
    return startGateway(options);
  },
};
