import {
  type DeregisterWorkerRequest,
  type GpuMemory,
  type RegisterWorkerRequest,
  RegisterWorkerResponse,
  type RenewLeaseRequest,
  RenewLeaseResponse,
  WorkerKind,
} from '@jsigr/proto';
import { invalidArgument, notFound, permissionDenied, type WorkerKindName } from '@jsigr/service';
import type { Caller } from '../access/caller.ts';

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
  /** Grows from one registration to the next. */
  readonly fencingToken: number;
}

interface Lease {
  readonly id: string;
  readonly registration: Registration;
  released: boolean;
  timer: NodeJS.Timeout;
  /** As the worker said at its last renewal. */
  gpuMemory?: GpuMemory | undefined;
}

export interface Expected {
  readonly kind: WorkerKindName;
  readonly onRegistered: (registration: Registration) => void;
  readonly onGone: (reason: string) => void;
  /** The worker finishes what it has, and takes nothing more. */
  readonly onDraining?: () => void;
}

export interface WorkerRegistryOptions {
  /** How long a lease lasts unless it is renewed, in milliseconds. */
  readonly leaseMs: number;
  /** Fencing tokens: grow from one registration to the next, across restarts too. */
  readonly nextToken: () => Promise<number>;
}

/**
 * Who is there. Pools say which workers they expect; those register, renew their leases, and leave, each for itself: the caller is the worker
 * whose token came with the call.
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

  isExpected(workerId: string): boolean {
    return this.#expected.has(workerId);
  }

  /** It has registered, and renewed its lease in time since. */
  hasLease(workerId: string): boolean {
    return [...this.#leases.values()].some(({ registration }) => registration.workerId === workerId);
  }

  /** At its next renewal the worker learns that nobody needs it any more, and ends as one that has done its work. */
  release(workerId: string): void {
    this.#expected.delete(workerId);
    for (const lease of this.#leases.values()) if (lease.registration.workerId === workerId) lease.released = true;
  }

  /** The worker's lease, if it has one, is not renewed any more: the worker stops by itself. */
  forget(workerId: string): void {
    this.#expected.delete(workerId);
    for (const lease of this.#leases.values()) if (lease.registration.workerId === workerId) this.#drop(lease);
  }

  async register(request: RegisterWorkerRequest, caller: Caller): Promise<RegisterWorkerResponse> {
    const { kind, address, workerId, capacity } = request;
    if (!/^.+:\d+$/.test(address)) throw invalidArgument('address', `${JSON.stringify(address)} is not host:port`);
    const expected = this.#expected.get(workerId);
    if (!expected || caller.subject !== `worker/${workerId}`)
      throw permissionDenied(
        'UNKNOWN_WORKER',
        'this gateway expects no worker with this id',
        'workers are started by the gateway',
      );
    if (kindNames[kind] !== expected.kind)
      throw invalidArgument('kind', `${kind} given, the gateway expects ${expected.kind} under this id`);
    const fencingToken = await this.#options.nextToken();
    const registration = { workerId, kind: expected.kind, address, capacity: capacity || 1, fencingToken };
    // A container that was started again in its pod: the lease of the one before must not run out over this one.
    for (const lease of this.#leases.values()) if (lease.registration.workerId === workerId) this.#drop(lease);
    const id = leaseOf(registration);
    this.#leases.set(id, { id, registration, timer: this.#expiry(id), released: false });
    expected.onRegistered(registration);
    return RegisterWorkerResponse.fromPartial({ leaseId: id, leaseDuration: this.#duration(), fencingToken });
  }

  /**
   * Goes on with the lease that a worker has from an earlier gateway on the same store: from now on it lasts as long as any. To be called before the
   * worker asks for its renewal, that is before the gateway listens.
   */
  adopt(registration: Registration, onGone: (reason: string) => void): void {
    const { workerId, kind } = registration;
    const id = leaseOf(registration);
    this.#expected.set(workerId, { kind, onRegistered: () => {}, onGone });
    this.#leases.set(id, { id, registration, timer: this.#expiry(id), released: false });
  }

  /** @throws JsigrError NOT_FOUND: the lease ran out, or the gateway let the worker go. */
  renew(
    { leaseId, draining, gpuMemory }: Partial<RenewLeaseRequest> & Pick<RenewLeaseRequest, 'leaseId'>,
    caller: Caller,
  ): RenewLeaseResponse {
    const lease = this.#find(leaseId, caller);
    lease.gpuMemory = gpuMemory;
    if (draining) this.#expected.get(lease.registration.workerId)?.onDraining?.();
    if (lease.released) {
      this.#drop(lease);
      return RenewLeaseResponse.fromPartial({ released: true });
    }
    clearTimeout(lease.timer);
    lease.timer = this.#expiry(leaseId);
    return RenewLeaseResponse.fromPartial({ leaseDuration: this.#duration() });
  }

  deregister({ leaseId }: DeregisterWorkerRequest, caller: Caller): void {
    this.#end(this.#find(leaseId, caller), 'left');
  }

  /** Of every worker that knows one. */
  gpuMemory(): readonly { readonly kind: WorkerKindName; readonly worker: string; readonly memory: GpuMemory }[] {
    return [...this.#leases.values()].flatMap(({ registration: { kind, workerId: worker }, gpuMemory: memory }) =>
      memory ? [{ kind, worker, memory }] : [],
    );
  }

  close(): void {
    for (const lease of this.#leases.values()) this.#drop(lease);
    this.#expected.clear();
  }

  #find(leaseId: string, { subject }: Caller): Lease {
    const lease = this.#leases.get(leaseId);
    if (lease && subject === `worker/${lease.registration.workerId}`) return lease;
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

/** The same for every gateway: one that is started again can go on with it. */
function leaseOf({ workerId, fencingToken }: Registration): string {
  return `${workerId}.${fencingToken}`;
}
