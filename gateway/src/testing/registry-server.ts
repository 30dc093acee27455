import type { Metadata } from '@grpc/grpc-js';
import { WorkerRegistryServiceService } from '@jsigr/proto';
import { tokenOf } from '@jsigr/service';
import { type Caller, LOCAL } from '../access/caller.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import { startTestServer, type TestServer } from './grpc-server.ts';

/** A gateway of which workers see nothing but the registry. @param verify who a token is of */
export function startRegistryServer(
  registry: WorkerRegistry,
  verify: (token: string) => Promise<Caller | undefined>,
): Promise<TestServer> {
  const callerOf = async (metadata: Metadata) => (await verify(tokenOf(metadata) ?? '')) ?? LOCAL;
  return startTestServer(WorkerRegistryServiceService, {
    registerWorker: async (request, metadata) => registry.register(request, await callerOf(metadata)),
    renewLease: async (request, metadata) => registry.renew(request, await callerOf(metadata)),
    deregisterWorker: async (request, metadata) => {
      registry.deregister(request, await callerOf(metadata));
      return {};
    },
  });
}
