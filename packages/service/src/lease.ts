import { status } from '@grpc/grpc-js';
import { type WorkerKind, WorkerRegistryServiceClient } from '@jsigr/proto';
import { JsigrError, unavailable } from './errors.ts';
import type { GpuMemory } from './gpu-memory.ts';
import { connect, type Peer, unary } from './grpc-client.ts';
import type { Logger } from './logging.ts';

export interface LeaseOptions {
  /** The gateway, with the worker's token. */
  readonly gateway: Peer;
  readonly kind: WorkerKind;
  readonly workerId: string;
  /** host:port of the worker. */
  readonly address: string;
  readonly capacity: number;
  /** Requests in progress at the moment. */
  readonly load: () => number;
  /** Of the GPU that it computes on; undefined where there is none, or nothing is known. */
  readonly gpuMemory?: () => GpuMemory | undefined;
  readonly logger: Logger;
  /** Called once, when the lease ran out or was taken away: the worker must write nothing more. */
  readonly onLost: (error: JsigrError) => void;
  /** Called once, when nobody needs the worker any more: it may end. */
  readonly onReleased: () => void;
}

export interface Lease {
  /** Goes with every write that the worker makes. */
  readonly fencingToken: number;
  /** Tells the gateway, now and at every renewal, that the worker takes nothing more. Never rejects. */
  drain(): Promise<void>;
  /** Tells the gateway that the worker goes. Never rejects. */
  release(): Promise<void>;
}

const REGISTER_FOR_MS = 10_000;
const RETRY_MS = 200;
const DEFAULT_DURATION_MS = 15_000;
/** For one more question when the lease seems to be over: a machine that was suspended wakes up late, and the gateway knows better. */
const LAST_QUESTION_MS = 1000;
/** A lease is a duration: the wall clock may jump, and a lease must not last longer, or shorter, for that. */
const now = () => performance.now();

/** Registers the worker and renews its lease at a third of its duration. @throws JsigrError when the gateway cannot be reached for ten seconds, or refuses. */
export async function holdLease(options: LeaseOptions): Promise<Lease> {
  const { gateway, kind, workerId, address, capacity, load, gpuMemory, logger, onLost, onReleased } = options;
  const client = connect(WorkerRegistryServiceClient, gateway);
  const registered = await retryUnavailable(() =>
    unary(client, 'registerWorker', { kind, address, workerId, capacity }, { deadlineMs: REGISTER_FOR_MS }),
  ).catch((error) => {
    client.close();
    throw error;
  });
  const { leaseId, fencingToken } = registered;
  let durationMs = millisecondsOf(registered.leaseDuration);
  let expires = now() + durationMs;
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  let draining = false;

  const request = () => ({ leaseId, load: load(), draining, gpuMemory: gpuMemory?.() });
  const end = () => {
    ended = true;
    clearTimeout(timer);
    client.close();
  };
  const lose = (error: JsigrError) => {
    end();
    onLost(error);
  };
  const renew = async () => {
    const remaining = expires - now();
    const isLast = remaining <= 0;
    try {
      const asked = now();
      const deadlineMs = isLast ? LAST_QUESTION_MS : remaining;
      const renewed = await unary(client, 'renewLease', request(), { deadlineMs });
      if (renewed.released) {
        end();
        return onReleased();
      }
      durationMs = millisecondsOf(renewed.leaseDuration);
      expires = asked + durationMs;
    } catch (error) {
      if (ended) return;
      const ours = JsigrError.from(error);
      if (ours.code === status.NOT_FOUND) return lose(ours);
      if (isLast)
        return lose(
          unavailable('LEASE_LOST', `the lease ran out: the gateway ${gateway.address} did not answer in time`),
        );
      logger.warn({ reason: ours.reason }, `the lease could not be renewed: ${ours.message}`);
    }
    if (!ended) schedule();
  };
  const schedule = () => {
    // After a failure the rest of the lease is shorter: come back soon enough to try again, and at its end.
    const wait = Math.min(durationMs / 3, Math.max(expires - now(), 0) / 2 + 1);
    timer = setTimeout(() => void renew(), wait);
  };
  schedule();

  return {
    fencingToken,
    async drain() {
      draining = true;
      if (ended) return;
      const deadlineMs = Math.max(1, Math.min(expires - now(), LAST_QUESTION_MS));
      await unary(client, 'renewLease', request(), { deadlineMs }).catch(() => undefined);
    },
    async release() {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      await unary(client, 'deregisterWorker', { leaseId }, { deadlineMs: 1000 }).catch(() => undefined);
      client.close();
    },
  };
}

async function retryUnavailable<T>(attempt: () => Promise<T>): Promise<T> {
  const until = now() + REGISTER_FOR_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (JsigrError.from(error).code !== status.UNAVAILABLE || now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function millisecondsOf(duration: { seconds: number; nanos: number } | undefined): number {
  return duration ? duration.seconds * 1000 + duration.nanos / 1e6 : DEFAULT_DURATION_MS;
}
