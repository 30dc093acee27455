import { createLogger, startGrpcServer } from '@jsigr/service';
import { grpcModule } from '../grpc/grpc.module.ts';
import { gatewayServices } from '../grpc/services.ts';
import { startHttpServer } from '../http/http-server.ts';
import type { TestGateway } from './gateway.ts';

const logger = createLogger('test', 'silent');
const anywhere = { host: '127.0.0.1', port: 0, logger };

/** The gRPC face of a test's gateway. */
export function grpcFace({ application }: TestGateway) {
  return startGrpcServer({ module: grpcModule(application), services: gatewayServices, ...anywhere });
}

/** The HTTP face of a test's gateway. */
export function httpFace({ application }: TestGateway) {
  return startHttpServer({ application, ...anywhere });
}
