import {
  type Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { pump, toServiceError } from '@jsigr/service';
import { healthDefinition } from '../workers/health.ts';

type RequestOf<D> = D extends MethodDefinition<infer Request, unknown> ? Request : never;
type ResponseOf<D> = D extends { responseSerialize: (value: infer Response) => Buffer } ? Response : never;
type HandlerOf<D> = D extends { responseStream: true }
  ? (request: RequestOf<D>, signal: AbortSignal) => AsyncIterable<ResponseOf<D>>
  : (request: RequestOf<D>, metadata: Metadata) => ResponseOf<D> | Promise<ResponseOf<D>>;

/** Handlers of a service as functions from requests to responses; those that are left out answer UNIMPLEMENTED. */
export type Handlers<S> = { readonly [M in keyof S]?: HandlerOf<S[M]> };

export interface TestServer {
  readonly address: string;
  /** Ends at once, cutting calls in progress, as a process that dies does. */
  close(): Promise<void>;
}

/** A plain gRPC server on a free port, for the network's far side. */
export async function startTestServer<S extends object>(definition: S, handlers: Handlers<S>): Promise<TestServer> {
  const server = new Server();
  const methods = Object.entries(handlers).map(([name, handler]) => [
    name,
    (definition as ServiceDefinition)[name]?.responseStream ? streaming(handler as never) : unary(handler as never),
  ]);
  server.addService(definition as ServiceDefinition, Object.fromEntries(methods));
  server.addService(healthDefinition, { check: unary(() => true) });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { address: `127.0.0.1:${port}`, close: async () => server.forceShutdown() };
}

function unary(handler: (request: unknown, metadata: Metadata) => unknown) {
  return async (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>) => {
    try {
      done(null, await handler(call.request, call.metadata));
    } catch (error) {
      done(toServiceError(error));
    }
  };
}

function streaming(handler: (request: unknown, signal: AbortSignal) => AsyncIterable<unknown>) {
  return (call: ServerWritableStream<unknown, unknown>) => pump(call, (signal) => handler(call.request, signal));
}
