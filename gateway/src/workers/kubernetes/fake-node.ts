import { type ChildProcess, fork } from 'node:child_process';
import { createLogger, type WorkerKindName } from '@jsigr/service';
import { Informer } from '../../kubernetes/informer.ts';
import { type Job, jobs, type Pod } from '../../kubernetes/types.ts';
import { type FakeCluster, tokenOf } from './fake-cluster.ts';
import { labels, MANAGER } from './job.ts';

export interface FakeNodeOptions {
  readonly cluster: FakeCluster;
  /** host:port of the gateway. */
  readonly gateway: () => string;
  /** Program of each kind of worker. */
  readonly entry: (kind: WorkerKindName) => string;
}

/** To a FakeCluster what Job controller, scheduler and kubelet are: the pods of its Jobs are processes, replaced when they fail, gone with their Jobs. */
export class FakeNode {
  readonly #options: FakeNodeOptions;
  readonly #jobs: Informer<Job>;
  readonly #processes = new Map<string, ChildProcess>();
  #explainers = 0;
  #closed = false;

  constructor(options: FakeNodeOptions) {
    this.#options = options;
    const logger = createLogger('node', 'silent');
    this.#jobs = new Informer({ client: options.cluster.client, collection: jobs, logger });
    const known = new Set<string>();
    this.#jobs.onChange((name, job) => {
      if (!job) this.#end(name);
      if (!job) known.delete(name);
      if (!job || known.has(name)) return;
      known.add(name);
      this.#attempt(job, 1);
    });
    this.#jobs.start();
  }

  /** Processes that live. */
  get alive(): number {
    return this.#processes.size;
  }

  signal(pod: string, signal: NodeJS.Signals): void {
    this.#processes.get(pod)?.kill(signal);
  }

  /** One more pod of the explainer's Deployment. */
  addExplainer(): void {
    const name = `jsigr-explainer-${++this.#explainers}`;
    const own = { [labels.managedBy]: MANAGER, [labels.component]: 'explainer', [labels.run]: 'explain' };
    this.#run({ metadata: { name, uid: name, labels: own }, status: { phase: 'Running' } });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#jobs.stop();
    for (const process of this.#processes.values()) process.kill('SIGKILL');
  }

  #attempt(job: Job, attempt: number): void {
    const { cluster } = this.#options;
    const { name = '' } = job.metadata ?? {};
    const pod = cluster.pod(job, attempt);
    const said = (type: string, reason: string) =>
      cluster.put('jobs', { ...job, status: { conditions: [{ type, status: 'True', reason }] } } as Job);
    void this.#run(pod).then((code) => {
      const terminated = { exitCode: code, reason: code === 0 ? 'Completed' : 'Error' };
      const containerStatuses = [{ name: 'worker', state: { terminated } }] as never;
      if (this.#closed || !this.#jobs.get(name)) return cluster.drop('pods', pod.metadata?.name ?? '');
      cluster.put('pods', { ...pod, status: { phase: code === 0 ? 'Succeeded' : 'Failed', containerStatuses } });
      if (code === 0) said('Complete', '');
      else if (attempt > (job.spec?.backoffLimitPerIndex ?? 0)) said('Failed', 'FailedIndexes');
      else this.#attempt(job, attempt + 1);
    });
  }

  /** @returns its exit code, as a kubelet tells it */
  #run(pod: Pod): Promise<number> {
    const { cluster, entry, gateway } = this.#options;
    const { name = '', labels: own = {} } = pod.metadata ?? {};
    cluster.put('pods', pod);
    const child = fork(entry(own[labels.component] as WorkerKindName), [], {
      execArgv: ['--conditions=source', '--disable-warning=ExperimentalWarning'],
      env: {
        PATH: process.env.PATH,
        JSIGR_GATEWAY: gateway(),
        JSIGR_WORKER_ID: name,
        JSIGR_WORKER_TOKEN: tokenOf(pod),
        JSIGR_ARTEFACTS: '/nowhere',
        JSIGR_LOG_LEVEL: 'silent',
      },
      stdio: 'ignore',
    });
    this.#processes.set(name, child);
    return new Promise((resolve) => {
      child.once('exit', (code) => {
        this.#processes.delete(name);
        resolve(code ?? 137);
      });
    });
  }

  #end(job: string): void {
    for (const [pod, child] of this.#processes) if (pod.startsWith(`${job}-`)) child.kill('SIGKILL');
  }
}
