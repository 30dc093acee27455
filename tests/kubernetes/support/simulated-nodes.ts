import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerKind } from '@jsigr/proto';
import { Condition, createLogger, holdLease } from '@jsigr/service';
import { KubeConfig } from '@kubernetes/client-node';
import { KubernetesClient } from '../../../gateway/src/kubernetes/client.ts';
import { Informer } from '../../../gateway/src/kubernetes/informer.ts';
import { type Pod, pods } from '../../../gateway/src/kubernetes/types.ts';
import { FakeAttacker, FakeTrainer } from '../../../gateway/src/testing/fake-workers.ts';
import { NAMESPACE } from './installation.ts';
import { NodeApi } from './node-api.ts';

const HEARTBEAT_MS = 12_000;
const AT_ONCE = 10;

export interface SimulatedNodesOptions {
  /** The administrator's. */
  readonly kubeconfig: string;
  readonly count: number;
  /** host:port of the gateway. */
  readonly gateway: () => string;
  /** What a trainer does when it is told to train. @returns whether its process dies of it */
  readonly onTraining: (trainer: FakeTrainer) => Promise<'ended' | 'died'>;
  /** What an attacker will answer. */
  readonly onAttacker?: (attacker: FakeAttacker) => void;
}

/**
 * Nodes with a GPU each whose pods are trainers and attackers within this process: they speak the worker contract (the pod's own token, a lease, their
 * service) and do not compute. Registration, scheduling, Jobs and their replacements are the control plane's.
 */
export class SimulatedNodes {
  readonly names: readonly string[];
  /** Most trainers that were at work at the same time. */
  most = 0;
  /** Trainers that died at work. */
  died = 0;
  #working = 0;
  readonly #options: SimulatedNodesOptions;
  readonly #client: KubernetesClient;
  readonly #api: NodeApi;
  readonly #pods: Informer<Pod>;
  /** By uid: what ends it. */
  readonly #running = new Map<string, () => Promise<void>>();
  readonly #stopping = new AbortController();
  #beating: Promise<void> = Promise.resolve();

  constructor(options: SimulatedNodesOptions) {
    this.#options = options;
    this.names = Array.from({ length: options.count }, (_, i) => `simulated-${i}`);
    const config = new KubeConfig();
    config.loadFromFile(options.kubeconfig);
    const logger = createLogger('simulated-nodes', process.env.JSIGR_LOG_LEVEL || 'warn');
    this.#client = new KubernetesClient(config, NAMESPACE);
    this.#api = new NodeApi(this.#client, logger);
    this.#pods = new Informer<Pod>({ client: this.#client, collection: pods, logger });
    this.#pods.onChange((_, pod) => pod && void this.#seen(pod));
  }

  async start(): Promise<void> {
    await this.#all((node) => this.#api.register(node, 1));
    await this.#all((node) => this.#api.beat(node));
    this.#beating = this.#beat();
    this.#pods.start();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([this.#pods.stop(), this.#beating]);
    await Promise.all([...this.#running.values()].map((end) => end()));
  }

  async #all(work: (node: string) => Promise<void>): Promise<void> {
    const waiting = [...this.names];
    const one = async () => {
      for (let node = waiting.pop(); node; node = waiting.pop()) await work(node);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  }

  async #beat(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(HEARTBEAT_MS, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await this.#all((node) => this.#api.beat(node).catch(() => undefined));
    }
  }

  async #seen(pod: Pod): Promise<void> {
    const { uid = '', deletionTimestamp } = pod.metadata ?? {};
    if (!this.names.includes(pod.spec?.nodeName ?? '')) return;
    if (deletionTimestamp) {
      await this.#running.get(uid)?.();
      await this.#api.remove(pod);
    } else if (pod.status?.phase === 'Pending' && !this.#running.has(uid)) await this.#run(pod, uid);
  }

  async #run(pod: Pod, uid: string): Promise<void> {
    const worker = this.#worker(pod, () => end(137));
    let end = (_: number) => {};
    const ended = new Promise<number>((resolve) => {
      end = resolve;
    });
    this.#running.set(uid, async () => end(143));
    const startedAt = new Date().toISOString();
    const report = (phase: string, state: object) =>
      this.#api.report(pod, {
        phase,
        conditions: [{ type: 'Ready', status: phase === 'Running' ? 'True' : 'False', lastTransitionTime: startedAt }],
        containerStatuses: [
          { name: 'worker', image: 'none', imageID: '', restartCount: 0, ready: phase === 'Running', state },
        ],
      });
    const server = await worker.serve();
    worker.server = server;
    await report('Running', { running: { startedAt } });
    const sources = pod.spec?.volumes?.flatMap(({ projected }) => projected?.sources ?? []) ?? [];
    const [source] = sources.flatMap(({ serviceAccountToken }) => serviceAccountToken ?? []);
    const lease = await holdLease({
      gateway: { address: this.#options.gateway(), token: await this.#api.token(pod, source ?? {}) },
      kind: worker.kind === 'trainer' ? WorkerKind.WORKER_KIND_TRAINER : WorkerKind.WORKER_KIND_ATTACKER,
      workerId: pod.metadata?.name ?? '',
      address: server.address,
      capacity: 1,
      load: () => 0,
      logger: createLogger('simulated', 'silent'),
      onLost: () => end(1),
      onReleased: () => end(0),
    }).catch(() => undefined);
    if (!lease) end(1);
    const exitCode = await ended;
    // A process that dies says nothing more, and one that is told to go says goodbye.
    if (exitCode === 137) await server.close();
    else await lease?.release();
    await server.close();
    this.#running.set(uid, async () => {});
    const reason = exitCode === 0 ? 'Completed' : 'Error';
    const terminated = { exitCode, reason, startedAt, finishedAt: new Date().toISOString() };
    await report(exitCode === 0 ? 'Succeeded' : 'Failed', { terminated });
  }

  /** @param die its process does */
  #worker(pod: Pod, die: () => void): FakeTrainer | FakeAttacker {
    if (pod.metadata?.labels?.['app.kubernetes.io/component'] === 'attacker') {
      const attacker = new FakeAttacker(new Condition());
      this.#options.onAttacker?.(attacker);
      return attacker;
    }
    const train = async (trainer: FakeTrainer) => {
      this.most = Math.max(this.most, ++this.#working);
      const how = await this.#options.onTraining(trainer);
      this.#working--;
      if (how === 'ended') return;
      this.died++;
      die();
    };
    return new FakeTrainer(new Condition(), (trainer) => void train(trainer));
  }
}
