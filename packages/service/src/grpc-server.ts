import 'reflect-metadata';
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
  readonly app: INestMicroservice;
  /** Lets calls in progress end for so long (1 s unless told), cuts them, and runs the module's shutdown hooks. */
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
    app,
    close: async (graceMs) => {
      if (graceMs !== undefined) strategy.graceMs = graceMs;
      await app.close();
    },
  };
}
