import type { Condition, Logger, WorkerKindName } from '@jsigr/service';
import type { Caller } from '../../access/caller.ts';
import { deferred } from '../../deferred.ts';
import { isCode, type KubernetesClient } from '../../kubernetes/client.ts';
import { Informer } from '../../kubernetes/informer.ts';
import { type Job, type Pod, pathOf, pods } from '../../kubernetes/types.ts';
import type { RunWorker } from '../../store/run-rows.ts';
import { tokenDigest, type Worker } from '../pool.ts';
import type { Expected, WorkerRegistry } from '../registry.ts';
import { DeletionCosts } from './deletion-costs.ts';
import { Explainers } from './explainers.ts';
import { labels, MANAGER } from './job.ts';
import { endOf } from './pod-words.ts';
import { indexOf, isOver, jobOf, lostItsNode, timeOf } from './pods.ts';
import { isTokenOf, kindOf, podIn } from './worker-tokens.ts';

export interface PodWorkersOptions {
  readonly client: KubernetesClient;
  readonly registry: WorkerRegistry;
  /** Certificates of the gateway, where workers are called with them. */
  readonly tls?: Worker['tls'];
  readonly logger: Logger;
  /** Notified of whatever happens to a pod or a worker. */
  readonly changed: Condition;
}

/** How long a worker that has gone is explained by its pod, which is seen to end a moment later. */
const EXPLANATION_MS = 5000;
/** For a pod that registers before the informer has seen it. */
const SIGHT_MS = 10_000;

/** A pod of a Job that is a worker. */
export interface Seat {
  readonly pod: string;
  readonly job: string;
  readonly index: number;
  readonly worker: Worker;
  readonly lose: (how: string) => void;
  inUse: boolean;
  isLost: boolean;
}

/** The pods that are workers, once they have shown who they are, and until something becomes of them. */
export class PodWorkers {
  readonly explainers: Explainers;
  readonly #options: PodWorkersOptions;
  readonly #costs: DeletionCosts;
  readonly #pods: Informer<Pod>;
  readonly #seats = new Map<string, Seat>();
  /** Workers by the tokens that were vouched for. */
  readonly #tokens = new Map<string, Caller>();
  /** Digests of the tokens that an earlier gateway had vouched for, of workers that are waited for. */
  readonly #adopted = new Map<string, string>();
  #closed = false;

  constructor(options: PodWorkersOptions) {
    this.#options = options;
    const { client, logger, registry, tls } = options;
    this.#pods = new Informer({ client, logger, collection: pods, labelSelector: `${labels.managedBy}=${MANAGER}` });
    const costs = new DeletionCosts(client, logger);
    this.#costs = costs;
    this.explainers = new Explainers({ registry, tls, onBusy: (pod, busy) => costs.set(pod, busy) });
    this.#pods.onChange((name, pod) => this.#seen(name, pod));
    this.#pods.start();
  }

  /** Those of Jobs that are there. */
  seats(): readonly Seat[] {
    return [...this.#seats.values()].filter(({ isLost }) => !isLost);
  }

  /** One that nobody uses; not of a pod that has to go, or of a Job before this one under the same name. */
  free(name: string, index: number, job: Job | undefined): Seat | undefined {
    const uid = job?.metadata?.uid;
    return this.seats().find((each) => {
      if (each.job !== name || each.index !== index || each.inUse) return false;
      const { deletionTimestamp, ownerReferences } = this.#pods.get(each.pod)?.metadata ?? {};
      return deletionTimestamp === undefined && (uid === undefined || ownerReferences?.[0]?.uid === uid);
    });
  }

  newestPod(job: string, index: number): Pod | undefined {
    return this.#pods
      .all()
      .filter((pod) => jobOf(pod) === job && indexOf(pod) === index)
      .sort((a, b) => timeOf(b) - timeOf(a))[0];
  }

  /** The worker is nobody's any more. @returns its seat as it was, and whether its pod is going or gone; undefined where it was in nobody's use */
  leave(id: string): { readonly seat: Seat; readonly isGoing: boolean } | undefined {
    const seat = this.#seats.get(id);
    if (!seat?.inUse) return undefined;
    this.#seats.delete(id);
    return { seat, isGoing: seat.isLost || this.#pods.get(id)?.metadata?.deletionTimestamp !== undefined };
  }

  /**
   * The seat, in use, of a worker that an earlier gateway had: its lease goes on from this call on. What it shows with its next renewal is needed to call it, so
   * that is waited for. @returns undefined once its pod is over, or its lease; or the signal is aborted
   */
  async adopt(kind: WorkerKindName, given: RunWorker, signal: AbortSignal): Promise<Seat | undefined> {
    const { registry } = this.#options;
    const { id, address, fencingToken } = given;
    const onGone = (reason: string) => void this.#gone(id, reason);
    registry.adopt({ workerId: id, kind, address, capacity: 1, fencingToken }, onGone);
    this.#adopted.set(id, given.tokenDigest);
    const pod = () => this.#pods.get(id);
    const isOff = () => this.#closed || !registry.isExpected(id) || (this.#pods.synced && (!pod() || isOver(pod())));
    await this.#options.changed.until(() => isOff() || this.#tokenOf(id) !== undefined, { signal }).catch(() => false);
    this.#adopted.delete(id);
    const [token, found] = [this.#tokenOf(id), pod()];
    if (token && found && !isOff() && !signal.aborted) {
      const seat = this.#sit(found, kind, token, given);
      seat.inUse = true;
      return seat;
    }
    registry.forget(id);
    return undefined;
  }

  /**
   * The pod whose token this is. Once the API server has vouched for it, it is the worker's own for as long as that lives, over gateways too: tokens in pods run
   * out sooner.
   */
  async verify(token: string): Promise<Caller | undefined> {
    const { changed, client, registry } = this.#options;
    const name = podIn(token, client.namespace);
    if (name === undefined) return undefined;
    const known = this.#tokens.get(token);
    if (known) {
      // A container that was started again in the pod of an explainer shows the token of the one before.
      if (kindIn(this.#pods.get(name)) === 'explainer' && !registry.isExpected(name))
        registry.expect(name, this.explainers.expect(name, token));
      return known;
    }
    const find = () => this.#pods.get(name);
    await changed.until(() => find() !== undefined, { timeoutMs: SIGHT_MS });
    const pod = find();
    const kind = kindIn(pod);
    if (!pod || !kind) return undefined;
    const isAdopted = this.#adopted.get(name) === tokenDigest(token);
    if (!isAdopted && !(await isTokenOf(pod, token, client))) return undefined;
    const caller: Caller = { subject: `worker/${name}`, role: 'worker', tenant: '' };
    this.#tokens.set(token, caller);
    if (!this.#adopted.has(name))
      registry.expect(
        name,
        kind === 'explainer' ? this.explainers.expect(name, token) : this.#expect(pod, kind, token),
      );
    changed.notify();
    return caller;
  }

  /** Leases go on as long as there is anybody to renew them. */
  async close(): Promise<void> {
    this.#closed = true;
    this.explainers.close();
    this.#costs.close();
    await this.#pods.stop();
  }

  #tokenOf(id: string): string | undefined {
    return [...this.#tokens].find(([, { subject }]) => subject === `worker/${id}`)?.[0];
  }

  #expect(pod: Pod, kind: WorkerKindName, token: string): Expected {
    return {
      kind,
      onRegistered: (registration) => {
        this.#sit(pod, kind, token, registration);
        this.#options.changed.notify();
      },
      onGone: (reason) => void this.#gone(pod.metadata?.name ?? '', reason),
    };
  }

  #sit(
    pod: Pod,
    kind: WorkerKindName,
    token: string,
    { address, fencingToken }: Pick<Worker, 'address' | 'fencingToken'>,
  ): Seat {
    const name = pod.metadata?.name ?? '';
    const { promise, resolve: lose } = deferred<string>();
    const lost = promise.then((how) => `the ${kind} (pod ${name}) ${how}`);
    const { tls } = this.#options;
    const worker = { id: name, kind, address, token, tls, fencingToken, lost };
    const seat = { pod: name, job: jobOf(pod), index: indexOf(pod), worker, lose, inUse: false, isLost: false };
    this.#seats.set(name, seat);
    return seat;
  }

  /** The lease is over: what became of the pod is the better explanation, so it is waited for. */
  async #gone(name: string, reason: string): Promise<void> {
    const words = () => {
      const pod = this.#pods.get(name);
      return pod ? endOf(pod) : 'was deleted';
    };
    await this.#options.changed.until(() => words() !== undefined, { timeoutMs: EXPLANATION_MS });
    this.#lose(name, words() ?? reason);
  }

  #lose(name: string, how: string): void {
    const seat = this.#seats.get(name);
    this.#options.registry.forget(name);
    if (seat && !seat.isLost) {
      seat.isLost = true;
      seat.lose(how);
      if (!seat.inUse) this.#seats.delete(name);
    }
    this.#forceAway(this.#pods.get(name));
    this.#options.changed.notify();
  }

  #seen(name: string, pod: Pod | undefined): void {
    this.#options.changed.notify();
    if (!pod) {
      for (const [token, { subject }] of this.#tokens) if (subject === `worker/${name}`) this.#tokens.delete(token);
      this.#costs.forget(name);
    }
    // A taint can drive pods from a node that lives: as long as a worker renews its lease it is left the time to hand back what it has.
    const isGone = !pod || isOver(pod) || (lostItsNode(pod) && !this.#options.registry.hasLease(name));
    if (!isGone) return;
    const how = pod ? (endOf(pod) ?? 'was lost with its node') : 'was deleted';
    this.explainers.lose(name, how);
    if (this.#seats.has(name)) this.#lose(name, how);
    else this.#forceAway(pod);
  }

  /** A node that is gone never says that the pod has ended, and its Job makes no other one before: fencing keeps it from writing anything more. */
  #forceAway(pod: Pod | undefined): void {
    if (!pod || isOver(pod) || !lostItsNode(pod)) return;
    const { client, logger } = this.#options;
    const { name, uid } = pod.metadata ?? {};
    const body = { gracePeriodSeconds: 0, preconditions: { uid } };
    void client.request('DELETE', pathOf(pods, client.namespace, name), { body }).catch((error) => {
      if (!isCode(error, 404, 409))
        logger.warn(`a lost pod could not be removed: ${error instanceof Error ? error.message : error}`);
    });
  }
}

function kindIn(pod: Pod | undefined): WorkerKindName | undefined {
  return kindOf(pod?.metadata?.labels?.[labels.component]);
}
