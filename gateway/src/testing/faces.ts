import { createLogger, startGrpcServer } from '@jsigr/service';
import { grpcModule } from '../grpc/grpc.module.ts';
import { gatewayServices } from '../grpc/services.ts';
import { startHttpServer } from '../http/http-server.ts';
import { Metrics } from '../operations/metrics.ts';
import { Readiness } from '../operations/readiness.ts';
import type { TestGateway } from './gateway.ts';

const logger = createLogger('test', 'silent');
const anywhere = { host: '127.0.0.1', port: 0, logger };

/** The gRPC face of a test's gateway. */
export function grpcFace({ application, access }: TestGateway) {
  const { admit } = access;
  return startGrpcServer({ module: grpcModule(application), services: gatewayServices, admit, ...anywhere });
}

/** The HTTP face of a test's gateway. */
export async function httpFace({ application, access, store, pool }: TestGateway) {
  const metrics = new Metrics();
  metrics.watch({
    pool,
    runs: store.runs,
    explanations: () => application.explanations.open,
    registry: application.registry,
  });
  const readiness = new Readiness([{ name: 'the database', work: () => store.runs.census() }], logger);
  await readiness.start(() => {});
  const server = await startHttpServer({ application, access, operations: { metrics, readiness }, ...anywhere });
  const close = async () => {
    readiness.close();
    await server.close();
  };
  return { ...server, close };
}
