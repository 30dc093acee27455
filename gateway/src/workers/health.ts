import type { CallOptions, Client, ClientUnaryCall, Metadata, ServiceError } from '@grpc/grpc-js';
import { makeGenericClientConstructor } from '@grpc/grpc-js';
import { type ClientClass, connect, type Peer, unary } from '@jsigr/service';

/** The one call of grpc.health.v1 that is needed. The whole server is meant by the empty request. */
interface HealthClient extends Client {
  check(
    request: Record<string, never>,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: boolean) => void,
  ): ClientUnaryCall;
}

/** HealthCheckResponse { ServingStatus status = 1 }; SERVING is 1. */
const SERVING = Buffer.from([0x08, 0x01]);

export const healthDefinition = {
  check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: () => ({}),
    responseSerialize: (serving: boolean) => (serving ? SERVING : Buffer.alloc(0)),
    responseDeserialize: (bytes: Buffer) => bytes.equals(SERVING),
  },
} as const;

const HealthClient = makeGenericClientConstructor(healthDefinition, 'Health') as unknown as ClientClass<HealthClient>;

/** Whether the gRPC server there says that it is serving. @throws JsigrError when it cannot be reached in time. */
export async function isServing(peer: Peer, deadlineMs: number): Promise<boolean> {
  const client = connect(HealthClient, peer);
  try {
    return await unary(client, 'check', {}, { deadlineMs });
  } finally {
    client.close();
  }
}
