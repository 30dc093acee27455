import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import {
  type DeregisterWorkerRequest,
  type RegisterWorkerRequest,
  RegisterWorkerResponse,
  type RenewLeaseRequest,
  RenewLeaseResponse,
  WorkerKind,
} from '@jsigr/proto';
import { invalidArgument, JsigrError, notFound, type WorkerKindName } from '@jsigr/service';

const kindNames: Partial<Record<WorkerKind, WorkerKindName>> = {
  [WorkerKind.WORKER_KIND_TRAINER]: 'trainer',
  [WorkerKind.WORKER_KIND_ATTACKER]: 'attacker',
  [WorkerKind.WORKER_KIND_EXPLAINER]: 'explainer',
};

const EXPIRY_PARTS = 4;

export interface Registration {
  readonly workerId: string;
  readonly kind: WorkerKindName;
  readonly address: string;
  /** Requests that it takes at once. */
  readonly capacity: number;
}

interface Lease {
  readonly id: string;
  readonly registration: Registration;
  timer: NodeJS.Timeout;
}

interface Expected {
  readonly kind: WorkerKindName;
  readonly onRegistered: (registration: Registration) => void;
  readonly onGone: (reason: string) => void;
}

export interface WorkerRegistryOptions {
  /** How long a lease lasts unless it is renewed, in milliseconds. */
  readonly leaseMs: number;
  /** Fencing tokens: grow from one registration to the next, across restarts too. */
  readonly nextToken: () => Promise<number>;
}

/**
 * Who is there. Pools say which workers they expect; those register, renew their leases, and leave. An id that no pool gave out is refused:
 * it is the worker's credential.
 */
export class WorkerRegistry {
  readonly #options: WorkerRegistryOptions;
  readonly #expected = new Map<string, Expected>();
  readonly #leases = new Map<string, Lease>();

  constructor(options: WorkerRegistryOptions) {
    this.#options = options;
  }

  /** `onRegistered` is called once; `onGone` when the worker leaves or its lease runs out, with what it did (`left`). */
  expect(workerId: string, expected: Expected): void {
    this.#expected.set(workerId, expected);
  }

  /** The worker's lease, if it has one, is not renewed any more: the worker stops by itself. */
  forget(workerId: string): void {
    this.#expected.delete(workerId);
    for (const lease of this.#leases.values()) if (lease.registration.workerId === workerId) this.#drop(lease);
  }

  async register({ kind, address, workerId, capacity }: RegisterWorkerRequest): Promise<RegisterWorkerResponse> {
    if (!/^.+:\d+$/.test(address)) throw invalidArgument('address', `${JSON.stringify(address)} is not host:port`);
    const expected = this.#expected.get(workerId);
    if (!expected)
      throw new JsigrError({
        code: status.PERMISSION_DENIED,
        reason: 'UNKNOWN_WORKER',
        message: 'this gateway expects no worker with this id',
        hint: 'workers are started by the gateway',
      });
    if (kindNames[kind] !== expected.kind)
      throw invalidArgument('kind', `${kind} given, the gateway expects ${expected.kind} under this id`);
    const fencingToken = await this.#options.nextToken();
    const registration = { workerId, kind: expected.kind, address, capacity: capacity || 1 };
    const id = randomUUID();
    this.#leases.set(id, { id, registration, timer: this.#expiry(id) });
    expected.onRegistered(registration);
    return RegisterWorkerResponse.fromPartial({ leaseId: id, leaseDuration: this.#duration(), fencingToken });
  }

  /** @throws JsigrError NOT_FOUND: the lease ran out, or the gateway let the worker go. */
  renew({ leaseId }: RenewLeaseRequest): RenewLeaseResponse {
    const lease = this.#find(leaseId);
    clearTimeout(lease.timer);
    lease.timer = this.#expiry(leaseId);
    return RenewLeaseResponse.fromPartial({ leaseDuration: this.#duration() });
  }

  deregister({ leaseId }: DeregisterWorkerRequest): void {
    this.#end(this.#find(leaseId), 'left');
  }

  close(): void {
    for (const lease of this.#leases.values()) this.#drop(lease);
    this.#expected.clear();
  }

  #find(leaseId: string): Lease {
    const lease = this.#leases.get(leaseId);
    if (lease) return lease;
    throw notFound('lease', leaseId, 'the worker stops: its lease ran out, or it was let go');
  }

  /**
   * A lease runs out in parts: a machine that was suspended wakes up with every timer due, and its workers must have a moment to renew before
   * they are given up.
   */
  #expiry(leaseId: string, part = 1): NodeJS.Timeout {
    const { leaseMs } = this.#options;
    return setTimeout(() => {
      const lease = this.#leases.get(leaseId);
      if (!lease) return;
      if (part < EXPIRY_PARTS) lease.timer = this.#expiry(leaseId, part + 1);
      else this.#end(lease, `did not renew its lease for ${leaseMs / 1000} s`);
    }, leaseMs / EXPIRY_PARTS).unref();
  }

  #end(lease: Lease, reason: string): void {
    this.#drop(lease);
    this.#expected.get(lease.registration.workerId)?.onGone(reason);
  }

  #drop(lease: Lease): void {
    clearTimeout(lease.timer);
    this.#leases.delete(lease.id);
  }

  #duration(): { seconds: number; nanos: number } {
    const { leaseMs } = this.#options;
    return { seconds: Math.floor(leaseMs / 1000), nanos: Math.round((leaseMs % 1000) * 1e6) };
  }
}
