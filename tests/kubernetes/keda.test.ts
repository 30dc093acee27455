import { join } from 'node:path';
import { credentials, loadPackageDefinition, status } from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import { protoDirectory } from '@jsigr/proto';
import { createLogger, startGrpcServer } from '@jsigr/service';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Application } from '../../gateway/src/application/application.ts';
import { Scaler } from '../../gateway/src/application/scaler.ts';
import { grpcModule } from '../../gateway/src/grpc/grpc.module.ts';
import { gatewayServices } from '../../gateway/src/grpc/services.ts';
import { Explainers } from '../../gateway/src/workers/kubernetes/explainers.ts';
import { WorkerRegistry } from '../../gateway/src/workers/registry.ts';
import { kedaProto, skippedWithoutGo } from './support/foreign-definitions.ts';

const SERVICE = 'externalscaler.ExternalScaler';

describe.skipIf(skippedWithoutGo())("KEDA's contract with external scalers, as its Go module has it", () => {
  let theirs: ServiceDefinition;
  beforeAll(async () => {
    theirs = loadSync(await kedaProto())[SERVICE] as ServiceDefinition;
  }, 120_000);

  test('is the one that the gateway serves, message for message and number for number', () => {
    const ours = loadSync(join(protoDirectory, 'externalscaler/externalscaler.proto'))[SERVICE] as ServiceDefinition;
    const contractOf = (service: ServiceDefinition, method: string) => {
      const { path, requestStream, responseStream, requestType, responseType } = service[method] ?? {};
      return { path, requestStream, responseStream, messages: [requestType?.type, responseType?.type] };
    };
    expect(Object.keys(ours)).toEqual(['IsActive', 'StreamIsActive', 'GetMetricSpec', 'GetMetrics']);
    for (const method of Object.keys(ours)) {
      expect(contractOf(ours, method).messages).toEqual([expect.any(Object), expect.any(Object)]);
      expect(contractOf(ours, method)).toEqual(contractOf(theirs, method));
    }
  });

  test('lets a scaler do without the rest: a client made of it is told that it is not implemented', async () => {
    const registry = new WorkerRegistry({ leaseMs: 60_000, nextToken: async () => 1 });
    const explainers = new Explainers({ registry });
    const logger = createLogger('test', 'silent');
    const module = grpcModule({ scaler: new Scaler(explainers) } as Application);
    const server = await startGrpcServer({ module, services: gatewayServices, host: '127.0.0.1', port: 0, logger });
    // biome-ignore lint/suspicious/noExplicitAny: a client without types, as others generate theirs
    const { ExternalScaler } = (loadPackageDefinition(loadSync(await kedaProto(), { defaults: true })) as any)
      .externalscaler;
    const keda = new ExternalScaler(server.address, credentials.createInsecure());
    const ref = { name: 'jsigr-explainer', namespace: 'jsigr', scalerMetadata: {} };
    const active = await new Promise((resolve, reject) => {
      keda.IsActive(ref, (error: unknown, response: object) => (error ? reject(error) : resolve(response)));
    });
    expect(active).toEqual({ result: false });
    const stream = keda.StreamMetricSpec(ref);
    await expect(stream.toArray()).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
    keda.close();
    explainers.close();
    registry.close();
    await server.close(0);
  });
});
