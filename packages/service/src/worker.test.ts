import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import {
  RegisterWorkerResponse,
  RenewLeaseResponse,
  type WorkerRegistryServiceServer,
  WorkerRegistryServiceService,
} from '@jsigr/proto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { notFound } from './errors.ts';
import { toServiceError } from './grpc-errors.ts';

/** A gateway that grants leases of a fifth of a second, until it refuses or lets the worker go. */
let gateway: Server;
let environment: Record<string, string>;
let registered: Promise<string>;
let calls: string[];
let refuse: boolean;
let released: boolean;
let worker: ChildProcess | undefined;

beforeEach(async () => {
  calls = [];
  refuse = false;
  released = false;
  let register: (address: string) => void = () => {};
  registered = new Promise((resolve) => {
    register = resolve;
  });
  const leaseDuration = { seconds: 0, nanos: 200_000_000 };
  const registry: WorkerRegistryServiceServer = {
    registerWorker({ request }, callback) {
      callback(null, RegisterWorkerResponse.fromPartial({ leaseId: 'l1', leaseDuration }));
      register(request.address);
    },
    renewLease(_call, callback) {
      if (refuse) callback(toServiceError(notFound('lease', 'l1')));
      else callback(null, RenewLeaseResponse.fromPartial({ leaseDuration, released }));
    },
    deregisterWorker(_call, callback) {
      calls.push('deregister');
      callback(null, {});
    },
  };
  gateway = new Server();
  gateway.addService(WorkerRegistryServiceService, registry);
  const port = await new Promise<number>((resolve, reject) =>
    gateway.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  environment = {
    JSIGR_GATEWAY: `127.0.0.1:${port}`,
    JSIGR_WORKER_ID: 'w1',
    JSIGR_WORKER_TOKEN: 'a-token-of-this-worker',
    JSIGR_ARTEFACTS: '/nonexistent',
    JSIGR_LOG_LEVEL: 'silent',
  };
});

afterEach(() => {
  worker?.kill('SIGKILL');
  gateway.forceShutdown();
});

function start(
  change: Record<string, string> = {},
  stderr: 'pipe' | 'inherit' = 'inherit',
): { child: ChildProcess; exit: Promise<unknown[]> } {
  const child = fork(fileURLToPath(new URL('./fixtures/worker.ts', import.meta.url)), {
    execArgv: ['--conditions=source', '--disable-warning=ExperimentalWarning'],
    env: { PATH: process.env.PATH, ...environment, ...change },
    stdio: ['inherit', 'inherit', stderr, 'ipc'],
  });
  worker = child;
  return { child, exit: once(child, 'exit') };
}

test('a worker registers with its address, and leaves in order on SIGTERM, as one in whose place another is to come', async () => {
  const { child, exit } = start();
  expect(await registered).toMatch(/^127\.0\.0\.1:\d+$/);
  child.kill('SIGTERM');
  expect(await exit).toEqual([75, null]);
  expect(calls).toEqual(['deregister']);
});

test('a worker whose lease was taken away stops, though its thread computes', async () => {
  const { exit } = start();
  await registered;
  refuse = true;
  expect(await exit).toEqual([75, null]);
});

test('a worker that nobody needs any more has done its work', async () => {
  const { exit } = start();
  await registered;
  released = true;
  expect(await exit).toEqual([0, null]);
});

test('a worker whose parent is gone stops, though its thread computes', async () => {
  const { child, exit } = start();
  await registered;
  child.disconnect();
  expect(await exit).toEqual([1, null]);
});

test('a worker that is told nothing sensible says so and exits with 2', async () => {
  const { exit } = start({ JSIGR_GATEWAY: 'nowhere' });
  expect(await exit).toEqual([2, null]);
});

test('a worker that is to look at its device says what it found, or ends before it registers', async () => {
  const check = { JSIGR_CHECK_DEVICE: 'true', JSIGR_LOG_LEVEL: 'warn' };
  const said = async (child: ChildProcess) => {
    let text = '';
    for await (const chunk of child.stderr ?? []) {
      text += chunk;
      if (text.includes('\n')) break;
    }
    return text;
  };
  const lacking = start({ ...check, JSIGR_DEVICE: 'cuda' }, 'pipe');
  expect(await said(lacking.child)).toContain('the explainer cannot start: there is no GPU');
  expect(await lacking.exit).toEqual([4, null]);
  const { child } = start({ ...check, JSIGR_DEVICE: 'cpu' }, 'pipe');
  expect(await said(child)).toContain('it computes on cpu');
  expect(await registered).toMatch(/^127\.0\.0\.1:\d+$/);
});
