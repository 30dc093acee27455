import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import {
  type GpuMemory,
  RegisterWorkerResponse,
  RenewLeaseResponse,
  WorkerKind,
  type WorkerRegistryServiceServer,
  WorkerRegistryServiceService,
} from '@jsigr/proto';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type JsigrError, notFound } from './errors.ts';
import { toServiceError } from './grpc-errors.ts';
import { holdLease, type Lease } from './lease.ts';

/** A gateway that grants leases of 60 ms. */
let gateway: Server;
let address: string;
let calls: string[];
let refuse: boolean;
let gpuMemory: GpuMemory | undefined;
let lease: Lease | undefined;

const duration = { seconds: 0, nanos: 60_000_000 };

beforeEach(async () => {
  calls = [];
  refuse = false;
  gateway = new Server();
  const registry: WorkerRegistryServiceServer = {
    registerWorker({ request }, callback) {
      calls.push(`register ${request.kind} ${request.workerId} ${request.address}`);
      callback(null, RegisterWorkerResponse.fromPartial({ leaseId: 'l1', leaseDuration: duration, fencingToken: 7 }));
    },
    renewLease({ request }, callback) {
      calls.push(`renew ${request.leaseId} ${request.load}${request.draining ? ' draining' : ''}`);
      gpuMemory = request.gpuMemory;
      answer(callback, RenewLeaseResponse.fromPartial({ leaseDuration: duration }));
    },
    deregisterWorker({ request }, callback) {
      calls.push(`deregister ${request.leaseId}`);
      callback(null, {});
    },
  };
  gateway.addService(WorkerRegistryServiceService, registry);
  const port = await new Promise<number>((resolve, reject) =>
    gateway.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  address = `127.0.0.1:${port}`;
});

afterEach(async () => {
  await lease?.release();
  gateway.forceShutdown();
  vi.restoreAllMocks();
});

function answer<T>(callback: sendUnaryData<T>, response: T): void {
  if (refuse) callback(toServiceError(notFound('lease', 'l1')));
  else callback(null, response);
}

async function hold(): Promise<{ lost: Promise<JsigrError> }> {
  let lose: (error: JsigrError) => void = () => {};
  const lost = new Promise<JsigrError>((resolve) => {
    lose = resolve;
  });
  lease = await holdLease({
    gateway: { address, token: 'a-token-of-this-worker' },
    kind: WorkerKind.WORKER_KIND_TRAINER,
    workerId: 'w1',
    address: '127.0.0.1:4242',
    capacity: 1,
    load: () => 3,
    gpuMemory: () => ({ usedBytes: 5 * 2 ** 30, totalBytes: 80 * 2 ** 30 }),
    logger: pino({ level: 'silent' }),
    onLost: lose,
    onReleased: () => {},
  });
  return { lost };
}

test('a worker registers, renews with its load and what it knows of its GPU, and deregisters', async () => {
  await hold();
  expect(lease?.fencingToken).toBe(7);
  await expect.poll(() => calls.filter((call) => call === 'renew l1 3').length).toBeGreaterThan(1);
  expect(gpuMemory).toEqual({ usedBytes: 5 * 2 ** 30, totalBytes: 80 * 2 ** 30 });
  await lease?.release();
  expect([calls[0], calls.at(-1)]).toEqual(['register WORKER_KIND_TRAINER w1 127.0.0.1:4242', 'deregister l1']);
});

test('a worker that drains says so at once, and again', async () => {
  await hold();
  await lease?.drain();
  expect(calls.at(-1)).toBe('renew l1 3 draining');
  await expect.poll(() => calls.filter((call) => call.endsWith('draining')).length).toBeGreaterThan(1);
});

test('a lease that the gateway took away is lost', async () => {
  const { lost } = await hold();
  refuse = true;
  expect(await lost).toMatchObject({ reason: 'LEASE_NOT_FOUND' });
});

test('a gateway that is gone loses the lease once its duration is over', async () => {
  const { lost } = await hold();
  gateway.forceShutdown();
  expect(await lost).toMatchObject({ reason: 'LEASE_LOST' });
});

test('a wall clock that jumps back makes no lease longer', async () => {
  const { lost } = await hold();
  const rightNow = Date.now;
  vi.spyOn(Date, 'now').mockImplementation(() => rightNow() - 3_600_000);
  gateway.forceShutdown();
  expect(await lost).toMatchObject({ reason: 'LEASE_LOST' });
});

test('a worker that woke up late asks whether its lease still holds', async () => {
  const { lost } = await hold();
  let isLost = false;
  void lost.then(() => {
    isLost = true;
  });
  const end = Date.now() + 150; // as if the machine had been suspended: nothing of this process runs for longer than the lease
  while (Date.now() < end);
  const before = calls.length;
  await expect.poll(() => calls.length).toBeGreaterThan(before + 1);
  expect(isLost).toBe(false);
});
