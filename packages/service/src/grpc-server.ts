import 'reflect-metadata';
import type { Server } from '@grpc/grpc-js';
import type { DynamicModule, INestMicroservice, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { GrpcStrategy, type GrpcStrategyOptions } from './grpc-strategy.ts';
import { createLogger, type Logger, nestLogger } from './logging.ts';

export interface GrpcServerOptions extends GrpcStrategyOptions {
  readonly module: Type | DynamicModule;
  readonly logger?: Logger;
}

export interface GrpcServer {
  /** `host:port` */
  readonly address: string;
  /** `host:port` of the server for probes, if there is one. */
  readonly healthAddress: string | undefined;
  readonly app: INestMicroservice;
  /** grpc-js' own, for those who want to see which methods it answers. */
  readonly server: Server;
  /** What its health service says. */
  setServing(serving: boolean): void;
  /** Lets calls in progress end for so long (1 s unless told), ends the others with UNAVAILABLE SERVER_STOPPING, and runs the module's shutdown hooks. */
  close(graceMs?: number): Promise<void>;
}

/** A NestJS module as a gRPC server with health and reflection. @throws JsigrError ADDRESS_UNAVAILABLE naming host and port. */
export async function startGrpcServer({ module, logger, ...options }: GrpcServerOptions): Promise<GrpcServer> {
  const strategy = new GrpcStrategy(options);
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(module, {
    strategy,
    logger: nestLogger(logger ?? createLogger('grpc')),
    abortOnError: false,
  });
  await app.listen();
  return {
    address: strategy.address,
    healthAddress: strategy.healthAddress,
    app,
    server: strategy.server,
    setServing: (serving) => strategy.setServing(serving),
    close: async (graceMs) => {
      if (graceMs !== undefined) strategy.graceMs = graceMs;
      await app.close();
    },
  };
}
