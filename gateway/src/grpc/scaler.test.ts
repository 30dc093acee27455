import { join } from 'node:path';
import { credentials, loadPackageDefinition, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoDirectory } from '@jsigr/proto';
import { createLogger, type GrpcServer, startGrpcServer } from '@jsigr/service';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Caller } from '../access/caller.ts';
import type { Application } from '../application/application.ts';
import { Scaler } from '../application/scaler.ts';
import { Explainers } from '../workers/kubernetes/explainers.ts';
import { WorkerRegistry } from '../workers/registry.ts';
import { grpcModule } from './grpc.module.ts';
import { gatewayServices } from './services.ts';

// KEDA's side, from the published .proto alone: no code of ours.
const definition = loadSync(join(protoDirectory, 'externalscaler/externalscaler.proto'), {
  defaults: true,
  longs: Number,
});
// biome-ignore lint/suspicious/noExplicitAny: a client without types, as others generate theirs
const { ExternalScaler } = (loadPackageDefinition(definition) as any).externalscaler;

let explainers: Explainers;
let registry: WorkerRegistry;
let server: GrpcServer;
// biome-ignore lint/suspicious/noExplicitAny: see above
let keda: any;
const logger = createLogger('test', 'silent');

async function serve(scaler: Scaler): Promise<void> {
  const application = { scaler } as Application;
  server = await startGrpcServer({
    module: grpcModule(application),
    services: gatewayServices,
    host: '127.0.0.1',
    port: 0,
    logger,
  });
  keda = new ExternalScaler(server.address, credentials.createInsecure());
}

beforeEach(async () => {
  let tokens = 0;
  registry = new WorkerRegistry({ leaseMs: 60_000, nextToken: async () => ++tokens });
  explainers = new Explainers({ registry });
  await serve(new Scaler(explainers));
});
afterEach(async () => {
  keda.close();
  explainers.close();
  registry.close();
  await server.close(0);
});

const ref = (scalerMetadata: Record<string, string> = { keepActiveSeconds: '0' }) => ({
  ...{ name: 'jsigr-explainer', namespace: 'jsigr', scalerMetadata },
});
function call(method: string, request: object): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    keda[method](request, (error: unknown, response: Record<string, unknown>) =>
      error ? reject(error) : resolve(response),
    );
  });
}
const callerOf = (id: string): Caller => ({ subject: `worker/${id}`, role: 'worker', tenant: '' });
/** As many as one explainer takes at once. */
async function explainer(id: string, capacity: number): Promise<string> {
  registry.expect(id, explainers.expect(id, 'token-of-a-pod'));
  const { leaseId } = await registry.register(
    {
      kind: 'WORKER_KIND_EXPLAINER',
      address: '127.0.0.1:1',
      workerId: id,
      capacity,
    },
    callerOf(id),
  );
  return leaseId;
}
const metric = async () => {
  const { metricValues } = await call('GetMetrics', { scaledObjectRef: ref(), metricName: 'requests' });
  return metricValues as { metricValueFloat: number }[];
};

describe('the scaler, asked as KEDA asks', () => {
  test('is active while requests are held, and gives them to the explainer that comes', async () => {
    expect(await call('IsActive', ref())).toEqual({ result: false });
    const held = [1, 2, 3].map(() => explainers.acquire(undefined));
    expect(await call('IsActive', ref())).toEqual({ result: true });
    expect(await metric()).toMatchObject([{ metricName: 'requests', metricValueFloat: 3 }]);
    await explainer('one', 2);
    const [first, second] = await Promise.all(held.slice(0, 2));
    expect([first?.id, second?.id]).toEqual(['one', 'one']);
    // The third waits: scale up. A second explainer gets it.
    await explainer('two', 2);
    const third = await held[2];
    expect(third?.id).toBe('two');
    for (const worker of [first, second, third]) if (worker) explainers.release(worker);
    expect(await call('IsActive', ref())).toEqual({ result: false });
    // What was there a moment ago still counts: an autoscaler looks now and then.
    expect(await metric()).toMatchObject([{ metricValueFloat: 3 }]);
  });

  test('balances over the explainers by the room that they have', async () => {
    await explainer('small', 1);
    await explainer('large', 4);
    const taken = await Promise.all([1, 2, 3, 4, 5].map(() => explainers.acquire(undefined)));
    const count = (id: string) => taken.filter((worker) => worker.id === id).length;
    expect([count('small'), count('large')]).toEqual([1, 4]);
  });

  test('keeps explainers wanted for a while after the last request', async () => {
    await explainer('one', 1);
    explainers.release(await explainers.acquire(undefined));
    expect(await call('IsActive', ref({ keepActiveSeconds: '60' }))).toEqual({ result: true });
    expect(await call('IsActive', ref({ keepActiveSeconds: '0' }))).toEqual({ result: false });
  });

  test('streams whether it is active, at once and whenever it changes, and when the while is over', async () => {
    const seen: boolean[] = [];
    const stream = keda.StreamIsActive(ref({ keepActiveSeconds: '0.2' }));
    stream.on('data', ({ result }: { result: boolean }) => seen.push(result));
    stream.on('error', () => {});
    await vi.waitFor(() => expect(seen).toEqual([false]));
    const held = explainers.acquire(undefined);
    await vi.waitFor(() => expect(seen).toEqual([false, true]));
    await explainer('one', 1);
    explainers.release(await held);
    await vi.waitFor(() => expect(seen).toEqual([false, true, false]));
    stream.cancel();
  });

  test('a request that gives up is not counted any more', async () => {
    await expect(explainers.acquire(AbortSignal.timeout(5))).rejects.toThrow(/timeout/);
    expect(await call('IsActive', ref())).toEqual({ result: false });
  });

  test('an explainer that is lost takes nothing with it: the next request waits for another', async () => {
    const leaseId = await explainer('one', 1);
    const worker = await explainers.acquire(undefined);
    registry.deregister({ leaseId }, callerOf('one'));
    expect(await worker.lost).toBe('the explainer (pod one) left');
    explainers.release(worker);
    const held = explainers.acquire(undefined);
    expect(await call('IsActive', ref())).toEqual({ result: true });
    await explainer('two', 1);
    expect((await held).id).toBe('two');
  });

  test('an explainer that drains finishes what it has, and is given nothing more', async () => {
    const leaseId = await explainer('one', 4);
    const worker = await explainers.acquire(undefined);
    registry.renew({ leaseId, draining: true }, callerOf('one'));
    const held = explainers.acquire(undefined);
    await explainer('two', 4);
    expect((await held).id).toBe('two');
    expect(explainers.list().map(({ id, users }) => [id, users])).toEqual([
      ['one', 1],
      ['two', 1],
    ]);
    explainers.release(worker);
  });

  test('an explainer that broke under a request, or was started again in its pod, leaves no count behind', async () => {
    await explainer('one', 1);
    const broken = await explainers.acquire(undefined);
    explainers.release(broken, true);
    expect(explainers.list()).toEqual([]);
    await explainer('one', 1);
    const before = await explainers.acquire(undefined);
    await explainer('one', 1);
    expect(await before.lost).toBe('the explainer (pod one) was started again');
    explainers.release(before);
    expect(explainers.list()).toMatchObject([{ id: 'one', users: 0 }]);
  });

  test('says what one explainer is to have', async () => {
    expect(await call('GetMetricSpec', ref({ targetRequests: '2.5' }))).toEqual({
      metricSpecs: [{ metricName: 'requests', targetSize: 3, targetSizeFloat: 2.5 }],
    });
  });

  // KEDA keeps the number of pods when a scaler answers with an error: what is refused must be an error, never a zero.
  const refused: readonly (readonly [string, string, object])[] = [
    ['no number', 'IsActive', ref({ targetRequests: 'many' })],
    ['nothing at once', 'GetMetricSpec', ref({ targetRequests: '0' })],
    ['a negative while', 'IsActive', ref({ keepActiveSeconds: '-1' })],
    ['another metric', 'GetMetrics', { scaledObjectRef: ref(), metricName: 'cpu' }],
  ];
  test.each(refused)('refuses %s', async (_, method, request) => {
    await expect(call(method, request)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });
});

test('a gateway that starts explainers itself is not scaled, and says so', async () => {
  keda.close();
  await server.close(0);
  await serve(new Scaler(undefined));
  await expect(call('IsActive', ref())).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
  await expect(call('GetMetrics', { scaledObjectRef: ref() })).rejects.toMatchObject({
    code: status.FAILED_PRECONDITION,
  });
});
