import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerInterceptor,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { type CustomTransportStrategy, ServerGrpc } from '@nestjs/microservices';
import { HealthImplementation } from 'grpc-health-check';
import { type Admit, admission } from './admission.ts';
import { withBulkAnswers } from './bulk.ts';
import { unavailable } from './errors.ts';
import { MAX_MESSAGE_BYTES } from './grpc-client.ts';
import { refuseMalformed, tolerant } from './malformed.ts';
import { OpenCalls } from './open-calls.ts';
import { addReflection } from './reflection.ts';
import type { Tls } from './tls.ts';
import { tracedServer } from './traced-calls.ts';
import { isTracing } from './tracing.ts';

export interface GrpcStrategyOptions {
  /** Definitions by full name, e.g. `{ 'jsigr.v1.TrainerService': TrainerServiceService }`. */
  readonly services: Readonly<Record<string, ServiceDefinition>>;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly maxMessageBytes?: number;
  /** Who may call what; absent: everybody everything. */
  readonly admit?: Admit;
  /** Of all calls, before anything else. */
  readonly interceptors?: readonly ServerInterceptor[];
  /** Absent: connections are not encrypted. */
  readonly tls?: Tls | undefined;
  /** Port of a second server, never encrypted, that says how the first one is and nothing else: a kubelet's gRPC probes know no TLS. */
  readonly healthPort?: number | undefined;
}

/** Calls at once over one connection. */
const MOST_CALLS = 4096;

/** How long a client has to take the end of its calls, in milliseconds. */
const TOLD_MS = 500;

/** What the health service calls the process itself: it serves for as long as it answers, whatever it rests on. For probes that kill what does not. */
export const LIVE = 'live';

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
  #healthServer: Server | undefined;
  #port = 0;
  #healthPort: number | undefined;
  readonly #calls = new OpenCalls();
  readonly #strategy: GrpcStrategyOptions;

  constructor(options: GrpcStrategyOptions) {
    const names = Object.keys(options.services);
    super({
      package: [...new Set(names.map((name) => name.slice(0, name.lastIndexOf('.'))))],
      packageDefinition: Object.fromEntries(
        Object.entries(options.services).map(([name, definition]) => [name, tolerant(withBulkAnswers(definition))]),
      ),
    });
    this.#strategy = options;
    this.health = new HealthImplementation(Object.fromEntries(['', LIVE, ...names].map((name) => [name, 'SERVING'])));
  }

  /** `host:port` that the server listens on. */
  get address(): string {
    return this.#at(this.#port);
  }

  /** `host:port` of the server for probes, if there is one. */
  get healthAddress(): string | undefined {
    return this.#healthPort === undefined ? undefined : this.#at(this.#healthPort);
  }

  #at(port: number): string {
    const { host } = this.#strategy;
    return `${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  /** @throws before it listens */
  get server(): Server {
    if (!this.#server) throw new Error('the server does not listen yet');
    return this.#server;
  }

  override async createClient(): Promise<Server> {
    const { port, maxMessageBytes = MAX_MESSAGE_BYTES, admit, interceptors = [], tls, healthPort } = this.#strategy;
    const server = new Server({
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_send_message_length': maxMessageBytes,
      'grpc.max_concurrent_streams': MOST_CALLS,
      // A client that is gone without a word is noticed, and what it watched is let go.
      'grpc.keepalive_time_ms': 60_000,
      'grpc.keepalive_timeout_ms': 20_000,
      interceptors: [
        ...(isTracing() ? [tracedServer] : []),
        ...interceptors,
        ...(admit ? [admission(admit)] : []),
        refuseMalformed,
        this.#calls.interceptor,
      ],
    });
    this.#port = await bind(server, this.#at(port), tls?.serverCredentials());
    if (healthPort !== undefined) await this.#openHealth(healthPort, server);
    this.health.addToServer(server);
    addReflection(server, Object.keys(this.#strategy.services));
    this.#server = server;
    return server;
  }

  async #openHealth(port: number, main: Server): Promise<void> {
    const server = new Server();
    this.health.addToServer(server);
    try {
      this.#healthPort = await bind(server, this.#at(port));
    } catch (error) {
      main.forceShutdown();
      throw error;
    }
    this.#healthServer = server;
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

  /** What the health service says of the server and of each of its services; of the process (`LIVE`) it always says that it serves. */
  setServing(serving: boolean): void {
    for (const name of ['', ...Object.keys(this.#strategy.services)])
      this.health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
  }

  /** Takes no new calls, waits for those in progress up to `graceMs`, then tells the clients of those that are left; cuts what takes no notice. */
  override async close(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    this.setServing(false);
    await new Promise<void>((resolve) => {
      const tell = setTimeout(() => this.#calls.end(), this.graceMs);
      const cut = setTimeout(() => server.forceShutdown(), this.graceMs + TOLD_MS);
      server.tryShutdown(() => {
        clearTimeout(tell);
        clearTimeout(cut);
        resolve();
      });
    });
    this.#healthServer?.forceShutdown();
  }
}

function bind(server: Server, target: string, credentials = ServerCredentials.createInsecure()): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(target, credentials, (error, bound) =>
      error ? reject(bindError(target, error)) : resolve(bound),
    );
  });
}

function bindError(target: string, error: Error) {
  return unavailable(
    'ADDRESS_UNAVAILABLE',
    `cannot listen on ${target}: ${error.message}`,
    'choose another port (0 takes any free one), or stop the program that uses it',
  );
}
