import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '@jsigr/service/testing';
import { stringify } from 'yaml';
import { ControlPlane } from './control-plane.ts';
import { eventually } from './eventually.ts';
import { install, memorySettings, NAMESPACE } from './installation.ts';
import { programOf } from './programs.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const WAIT = { timeout: 60_000, interval: 200 };

/** A whole cluster on this machine: the control plane, process nodes, and the gateway as a process with the rights of its service account. */
export class Cluster {
  readonly plane: ControlPlane;
  readonly nodes = new Map<string, ChildProcess>();
  gateway: ChildProcess | undefined;
  grpcAddress = '';
  readonly #environment: Readonly<Record<string, string>>;
  #port = 0;

  constructor(plane: ControlPlane, environment: Readonly<Record<string, string>>) {
    this.plane = plane;
    this.#environment = environment;
  }

  /** @param environment more of the gateway's */
  static async start(environment: Readonly<Record<string, string>> = {}): Promise<Cluster> {
    const cluster = new Cluster(await ControlPlane.start('full'), environment);
    try {
      await install(cluster.plane);
      await cluster.#storage();
      await cluster.templates();
      await cluster.startGateway();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** What the claim jsigr-data is on every node, and to the gateway. */
  get data(): string {
    return join(this.plane.folder, 'claims', 'jsigr-data');
  }

  kubectl(...args: string[]): Promise<string> {
    return this.plane.kubectl(['-n', NAMESPACE, ...args]);
  }

  apply(object: object): Promise<string> {
    return this.plane.kubectl(['apply', '-n', NAMESPACE, '-f', '-'], stringify(object));
  }

  // biome-ignore lint/suspicious/noExplicitAny: whatever the API server says
  async get(resource: string): Promise<any> {
    return JSON.parse(await this.kubectl('get', ...resource.split(' '), '-o', 'json'));
  }

  async until(resource: string, look: (object: Awaited<ReturnType<Cluster['get']>>) => boolean, timeout = 60_000) {
    return eventually(
      async () => {
        const object = await this.get(resource);
        if (!look(object)) throw new Error(`${resource} is ${JSON.stringify(object.status ?? object.items?.length)}`);
        return object;
      },
      { timeout, interval: 200 },
    );
  }

  /** A node's process; `gpus` as its resource nvidia.com/gpu. */
  async startNode(name: string, gpus = 1): Promise<void> {
    const program = join(root, 'tests/kubernetes/support/process-node.ts');
    const args = [program, this.plane.kubeconfig, name, String(gpus), this.plane.folder];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.nodes.set(name, child);
    for await (const chunk of child.stdout) if (String(chunk).includes('ready')) break;
  }

  /** The node falls silent, and with it all that ran on it. */
  async loseNode(name: string): Promise<void> {
    await ended(this.nodes.get(name), 'SIGKILL');
    for (const file of readdirSync(this.plane.folder).filter((each) => each.endsWith(`@${name}.pid`)))
      try {
        process.kill(Number(readFileSync(join(this.plane.folder, file), 'utf8')), 'SIGKILL');
      } catch {
        // it has ended
      }
  }

  /** Ends the process of a pod that is running; as the kernel does that has no memory left, if told. */
  kill(pod: string, reason?: 'OOMKilled'): void {
    const file = readdirSync(this.plane.folder).find((each) => each.startsWith(`${pod}@`) && each.endsWith('.pid'));
    const path = join(this.plane.folder, file ?? pod);
    const pid = Number(readFileSync(path, 'utf8'));
    if (reason) writeFileSync(`${path}.oom`, '');
    process.kill(pid, 'SIGKILL');
  }

  /** Names of the pods that run, by a label. */
  async podsOf(selector: string): Promise<string[]> {
    const running = '--field-selector=status.phase=Running';
    const names = await this.kubectl('get', 'pods', '-l', selector, running, '-o', 'name');
    return names
      .split('\n')
      .filter(Boolean)
      .map((name) => name.replace('pod/', ''));
  }

  async startGateway(): Promise<void> {
    // The same port again after a restart: workers have its address.
    this.#port ||= await freePort();
    const env = {
      ...memorySettings(),
      PATH: process.env.PATH,
      KUBECONFIG: await this.plane.kubeconfigOfServiceAccount(NAMESPACE, 'jsigr-gateway'),
      JSIGR_NAMESPACE: NAMESPACE,
      JSIGR_DATA_DIRECTORY: this.data,
      JSIGR_GRPC_PORT: String(this.#port),
      JSIGR_HTTP_PORT: 'none',
      JSIGR_WORKERS: 'kubernetes',
      JSIGR_OPERATOR: 'true',
      // Soon, so that what is lost is found out and little is done twice.
      JSIGR_STATE_SECONDS: '1',
      JSIGR_LEASE_SECONDS: '6',
      JSIGR_LOG_LEVEL: process.env.JSIGR_LOG_LEVEL || 'warn',
      ...this.#environment,
    };
    const [program = '', ...args] = programOf('gateway', this.plane.folder);
    const child = spawn(program, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
    this.gateway = child;
    this.grpcAddress = await eventually(() => {
      if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`);
      const { pid, grpcAddress } = JSON.parse(readFileSync(join(this.data, 'gateway.json'), 'utf8'));
      if (pid !== child.pid || !grpcAddress) throw new Error('not up yet');
      return grpcAddress as string;
    }, WAIT);
  }

  async stopGateway(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await ended(this.gateway, signal);
  }

  async stop(): Promise<void> {
    await this.stopGateway();
    await Promise.all([...this.nodes.values()].map((node) => ended(node, 'SIGTERM')));
    await this.plane.stop();
  }

  /** What a pod wrote, from all attempts. */
  logs(pattern: RegExp): string {
    return readdirSync(this.plane.folder)
      .filter((name) => name.endsWith('.log') && pattern.test(name))
      .map((name) => readFileSync(join(this.plane.folder, name), 'utf8'))
      .join('\n');
  }

  /**
   * Worker pods run the services of this checkout; on a GPU node, whose taint they tolerate.
   * @param change of the container
   * @param ofJob besides the pod
   * @param before other templates, over which these come
   */
  async templates(
    change: object = {},
    ofJob: object = {},
    before: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const template = (kind: 'trainer' | 'attacker') =>
      stringify({ spec: { ...ofJob, template: { spec: this.#podTemplate(kind, change) } } });
    const data = { ...before, 'trainer.yaml': template('trainer'), 'attacker.yaml': template('attacker') };
    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'jsigr-workers' }, data };
    await this.plane.kubectl(
      ['apply', '-n', NAMESPACE, '--server-side', '--force-conflicts', '-f', '-'],
      stringify(map),
    );
  }

  #podTemplate(kind: 'trainer' | 'attacker' | 'explainer', change: object) {
    return {
      nodeSelector: { 'nvidia.com/gpu.present': 'true' },
      tolerations: [
        { key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' },
        ...['not-ready', 'unreachable'].map((what) => ({
          ...{ key: `node.kubernetes.io/${what}`, operator: 'Exists', effect: 'NoExecute' },
          tolerationSeconds: 1,
        })),
      ],
      containers: [
        {
          name: 'worker',
          image: 'none',
          command: programOf(kind, this.plane.folder),
          // All pods of this node have one address.
          env: [
            { name: 'JSIGR_PORT', value: '0' },
            { name: 'JSIGR_THREADS', value: '1' },
          ],
          resources: { limits: { 'nvidia.com/gpu': 1 } },
          volumeMounts: [{ name: 'data', mountPath: '/artefacts', subPath: 'artefacts' }],
          ...change,
        },
      ],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'jsigr-data' } }],
    };
  }

  /** Pods of the explainer's Deployment run the service of this checkout; there are none yet. */
  async explainers(): Promise<void> {
    const template = this.#podTemplate('explainer', {});
    const [worker] = template.containers;
    const env = [...(worker?.env ?? []), { name: 'JSIGR_GATEWAY', value: this.grpcAddress }];
    const spec = { template: { spec: { ...template, containers: [{ ...worker, env }] } } };
    await this.kubectl('patch', 'deployment/jsigr-explainer', '--type=strategic', '-p', JSON.stringify({ spec }));
  }

  async #storage(): Promise<void> {
    mkdirSync(this.data, { recursive: true, mode: 0o700 });
    const spec = {
      capacity: { storage: '50Gi' },
      accessModes: ['ReadWriteMany'],
      claimRef: { namespace: NAMESPACE, name: 'jsigr-data' },
      hostPath: { path: this.data },
    };
    await this.apply({ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: 'data' }, spec });
    await this.until('pvc/jsigr-data', ({ status }) => status.phase === 'Bound');
  }
}

async function ended(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}
