import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type handleUnaryCall, Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { protoDirectory } from '@jsigr/proto';
import { type CustomTransportStrategy, ServerGrpc } from '@nestjs/microservices';
import { HealthImplementation } from 'grpc-health-check';
import { unavailable } from './errors.ts';
import { MAX_MESSAGE_BYTES } from './grpc-client.ts';

export interface GrpcStrategyOptions {
  /** Definitions by full name, e.g. `{ 'jsigr.v1.TrainerService': TrainerServiceService }`. */
  readonly services: Readonly<Record<string, ServiceDefinition>>;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly maxMessageBytes?: number;
}

type StreamingType = Parameters<ServerGrpc['getMessageHandler']>[2];
type GrpcMethod = { path?: string; requestStream?: boolean; responseStream?: boolean };
const PASS_THROUGH = 'pt_stream' as StreamingType;

/**
 * NestJS' gRPC transport with what it lacks: `@GrpcStreamCall` handlers for server streams (Nest's own way queues without bound), the bound port,
 * health, reflection, and an orderly end. Give it to `NestFactory.createMicroservice` or `app.connectMicroservice` as `{ strategy }`.
 */
export class GrpcStrategy extends ServerGrpc implements CustomTransportStrategy {
  readonly health: HealthImplementation;
  /** How long `close` waits for calls in progress before it cuts them, in milliseconds. */
  graceMs = 1000;
  #server: Server | undefined;
  #port = 0;
  readonly #strategy: GrpcStrategyOptions;

  constructor(options: GrpcStrategyOptions) {
    const names = Object.keys(options.services);
    super({
      package: [...new Set(names.map((name) => name.slice(0, name.lastIndexOf('.'))))],
      packageDefinition: options.services,
    });
    this.#strategy = options;
    this.health = new HealthImplementation(Object.fromEntries(['', ...names].map((name) => [name, 'SERVING'])));
  }

  /** `host:port` that the server listens on. */
  get address(): string {
    const { host } = this.#strategy;
    return `${host.includes(':') ? `[${host}]` : host}:${this.#port}`;
  }

  override async createClient(): Promise<Server> {
    const { host, port, maxMessageBytes = MAX_MESSAGE_BYTES } = this.#strategy;
    const server = new Server({
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_send_message_length': maxMessageBytes,
    });
    const target = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(target, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(bindError(target, error)) : resolve(bound),
      );
    });
    this.health.addToServer(server);
    reflection(Object.keys(this.#strategy.services)).addToServer(server);
    this.#server = server;
    return server;
  }

  override getMessageHandler(service: string, method: string, streaming: StreamingType, definition: GrpcMethod) {
    const passThrough = definition.responseStream
      ? super.getMessageHandler(service, method, PASS_THROUGH, definition)
      : undefined;
    return passThrough ?? super.getMessageHandler(service, method, streaming, definition);
  }

  override createServiceMethod(
    handler: handleUnaryCall<unknown, unknown>,
    definition: GrpcMethod,
    streaming: StreamingType,
  ) {
    return definition.responseStream && !definition.requestStream
      ? this.createStreamCallMethod(handler, true)
      : super.createServiceMethod(handler, definition, streaming);
  }

  /** Takes no new calls, waits for those in progress up to `graceMs`, then cuts them. */
  override async close(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    for (const name of ['', ...Object.keys(this.#strategy.services)]) this.health.setStatus(name, 'NOT_SERVING');
    await new Promise<void>((resolve) => {
      const cut = setTimeout(() => server.forceShutdown(), this.graceMs);
      server.tryShutdown(() => {
        clearTimeout(cut);
        resolve();
      });
    });
  }
}

function bindError(target: string, error: Error) {
  return unavailable(
    'ADDRESS_UNAVAILABLE',
    `cannot listen on ${target}: ${error.message}`,
    'choose another port (0 takes any free one), or stop the program that uses it',
  );
}

/** Reflection describes what the .proto files say of those services that are really served; services of other files are not described. */
function reflection(services: readonly string[]): ReflectionService {
  const folder = 'jsigr/v1';
  const files = readdirSync(join(protoDirectory, folder)).filter((name) => name.endsWith('.proto'));
  const definition = loadSync(
    files.map((name) => `${folder}/${name}`),
    { includeDirs: [protoDirectory], keepCase: true },
  );
  return new ReflectionService(definition, { services: services.filter((name) => name in definition) });
}
