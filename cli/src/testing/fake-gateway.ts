import { Server, ServerCredentials, type ServiceDefinition, type UntypedHandleCall } from '@grpc/grpc-js';
import {
  type DatasetServiceServer,
  DatasetServiceService,
  type EvaluationServiceServer,
  EvaluationServiceService,
  type ExplanationServiceServer,
  ExplanationServiceService,
  type ModelServiceServer,
  ModelServiceService,
  type TrainingServiceServer,
  TrainingServiceService,
} from '@jsigr/proto';
import { toServiceError } from '@jsigr/service/client';
import type { Gateways } from '../gateways.ts';

/** Methods of the contract that a test needs; the others answer UNIMPLEMENTED. */
export interface FakeServices {
  readonly training?: Partial<TrainingServiceServer>;
  readonly evaluations?: Partial<EvaluationServiceServer>;
  readonly models?: Partial<ModelServiceServer>;
  readonly datasets?: Partial<DatasetServiceServer>;
  readonly explanations?: Partial<ExplanationServiceServer>;
}

export interface FakeGateway {
  readonly address: string;
  readonly close: () => void;
}

const definitions: Readonly<Record<keyof FakeServices, ServiceDefinition>> = {
  training: TrainingServiceService,
  evaluations: EvaluationServiceService,
  models: ModelServiceService,
  datasets: DatasetServiceService,
  explanations: ExplanationServiceService,
};

/** A real gRPC server on a free loopback port. */
export async function startFakeGateway(services: FakeServices): Promise<FakeGateway> {
  const server = new Server();
  for (const [name, methods] of Object.entries(services) as [keyof FakeServices, Record<string, UntypedHandleCall>][])
    server.addService(definitions[name], methods);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { address: `127.0.0.1:${port}`, close: () => server.forceShutdown() };
}

type Call<Request> = { readonly request: Request };
type Callback<Response> = (error: Error | null, value?: Response) => void;

/** A unary method from a plain function; what that throws crosses the wire as the services send it. */
export function answers<Request, Response>(fn: (request: Request) => Response) {
  return (call: Call<Request>, callback: Callback<Response>): void => {
    try {
      callback(null, fn(call.request));
    } catch (error) {
      callback(toServiceError(error));
    }
  };
}

interface Stream<Request, Response> {
  readonly request: Request;
  readonly write: (message: Response) => unknown;
  readonly end: () => unknown;
  readonly emit: (event: 'error', error: Error) => unknown;
}

/** A server stream from a generator; it breaks where the generator throws. */
export function streams<Request, Response>(fn: (request: Request) => Iterable<Response> | AsyncIterable<Response>) {
  return async (stream: Stream<Request, Response>): Promise<void> => {
    try {
      for await (const message of fn(stream.request)) stream.write(message);
      stream.end();
    } catch (error) {
      stream.emit('error', toServiceError(error));
    }
  };
}

/** No gateway runs yet; the one that is "started" is the fake. */
export function embedding({
  address,
}: FakeGateway): Gateways & { readonly state: { started: number; closed: number } } {
  const state = { started: 0, closed: 0 };
  return {
    state,
    find: async () => undefined,
    forward: async () => ({ grpcAddress: address, serverName: 'gateway', close: async () => void state.closed++ }),
    start: async () => {
      state.started++;
      return {
        grpcAddress: address,
        httpAddress: '127.0.0.1:1',
        close: async () => {
          state.closed++;
        },
      };
    },
  };
}

/** For commands that must not look for a gateway. */
export const noGateways: Gateways = {
  find: async () => {
    throw new Error('looked for a gateway');
  },
  start: async () => {
    throw new Error('started a gateway');
  },
  forward: async () => {
    throw new Error('went to a cluster');
  },
};
