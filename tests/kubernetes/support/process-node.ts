/**
 * A Kubernetes node without containers, for tests: it registers with GPUs, runs the commands of the pods that the scheduler gives it as processes of this
 * machine, reports their state and obeys deletion. As a program: `node process-node.ts KUBECONFIG NAME GPUS FOLDER`. Images are not read. Paths of a pod's
 * volumes in the environment are those of folders here: what a container would see under a mount path, its process sees under the volume's own folder.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '@jsigr/service';
import { KubeConfig } from '@kubernetes/client-node';
import { KubernetesClient } from '../../../gateway/src/kubernetes/client.ts';
import { Informer } from '../../../gateway/src/kubernetes/informer.ts';
import { type Pod, pods } from '../../../gateway/src/kubernetes/types.ts';
import { NodeApi } from './node-api.ts';
import { servePortForwards } from './port-forward.ts';
import { writeSecret } from './secret-volume.ts';

type Container = NonNullable<Pod['spec']>['containers'][number];
type ContainerState = object;

const [kubeconfig = '', node = '', gpus = '1', folder = ''] = process.argv.slice(2);
const HEARTBEAT_MS = 10_000;
/** Sooner than a kubelet, which waits ten seconds: tests wait for it. */
const RESTART_MS = 500;
const RESTART_AT_MOST_MS = 10_000;
/** How often Secrets are looked at; a kubelet does it about once a minute. */
const SECRETS_MS = 1000;
const logger = createLogger(`node-${node}`, 'warn');

const config = new KubeConfig();
config.loadFromFile(kubeconfig);
/** Pods of all namespaces are asked for one by one; the tests have one namespace with pods. */
const client = new KubernetesClient(config, process.env.POD_NAMESPACE ?? 'jsigr');

const api = new NodeApi(client, logger);

/** One pod: its processes, from its start to its end. */
class Running {
  readonly pod: Pod;
  readonly #children = new Map<string, ChildProcess>();
  readonly #states = new Map<string, ContainerState>();
  readonly #restarts = new Map<string, number>();
  readonly #base: string;
  readonly #mounts = new Map<string, string>();
  readonly #timers: NodeJS.Timeout[] = [];
  #stopping = false;
  #reporting: Promise<unknown> = Promise.resolve();
  readonly ended: Promise<void>;

  constructor(pod: Pod) {
    this.pod = pod;
    this.#base = join(folder, `pod-${pod.metadata?.uid}`);
    this.ended = this.#run()
      .catch(async (error) => {
        logger.error(error, `the pod ${pod.metadata?.name} could not be run`);
        await this.#report('Failed');
      })
      .finally(() => {
        for (const timer of this.#timers) clearInterval(timer);
        rmSync(this.#base, { recursive: true, force: true });
      });
  }

  async stop(graceSeconds: number): Promise<void> {
    this.#stopping = true;
    this.#signal('SIGTERM');
    const kill = setTimeout(() => this.#signal('SIGKILL'), graceSeconds * 1000);
    await this.ended;
    clearTimeout(kill);
  }

  #signal(signal: NodeJS.Signals): void {
    for (const { pid } of this.#children.values())
      try {
        if (pid) process.kill(-pid, signal);
      } catch {
        // it has just ended
      }
  }

  async #run(): Promise<void> {
    for (const volume of this.pod.spec?.volumes ?? []) await this.#volume(volume);
    const containers = this.pod.spec?.containers ?? [];
    const codes = await Promise.all(containers.map((container) => this.#whileWanted(container)));
    await this.#report(codes.every((code) => code === 0) ? 'Succeeded' : 'Failed');
  }

  async #volume(volume: NonNullable<NonNullable<Pod['spec']>['volumes']>[number]): Promise<void> {
    const { name, projected, persistentVolumeClaim, secret } = volume;
    const place = persistentVolumeClaim
      ? join(folder, 'claims', persistentVolumeClaim.claimName)
      : join(this.#base, name);
    mkdirSync(place, { recursive: true });
    this.#mounts.set(name, place);
    for (const { serviceAccountToken } of projected?.sources ?? []) {
      if (!serviceAccountToken) continue;
      writeFileSync(join(place, serviceAccountToken.path), await api.token(this.pod, serviceAccountToken), {
        mode: 0o600,
      });
    }
    if (secret?.secretName) await this.#secret(place, secret.secretName);
  }

  async #secret(place: string, name: string): Promise<void> {
    let last = '';
    const look = async () => {
      const files = await api.secret(this.pod, name);
      const now = JSON.stringify(files);
      if (now !== last) writeSecret(place, files);
      last = now;
    };
    await look();
    // The one before stays where the API server does not answer.
    this.#timers.push(setInterval(() => void look().catch(() => undefined), SECRETS_MS));
  }

  /** A container of a Deployment's pod is started again when it ends. */
  async #whileWanted(container: Container): Promise<number> {
    for (;;) {
      const code = await this.#container(container);
      if (this.#stopping || this.pod.spec?.restartPolicy !== 'Always') return code;
      const restarts = (this.#restarts.get(container.name) ?? 0) + 1;
      this.#restarts.set(container.name, restarts);
      await this.#report('Running');
      await sleep(Math.min(RESTART_MS * 2 ** (restarts - 1), RESTART_AT_MOST_MS));
    }
  }

  async #container(container: Container): Promise<number> {
    const { name = '', command, args = [] } = container;
    const startedAt = new Date().toISOString();
    if (container.image?.startsWith('missing/')) return this.#neverPulled(name);
    const log = openSync(join(folder, `${this.pod.metadata?.name}.log`), 'a');
    const [program = '', ...rest] = [...(command ?? []), ...args];
    const child = spawn(program, rest, {
      env: this.#environment(container),
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#children.set(name, child);
    // For tests that end it as a fault would.
    const pidFile = join(folder, `${this.pod.metadata?.name}@${node}.pid`);
    writeFileSync(pidFile, String(child.pid));
    const end = new Promise<number>((resolve) => {
      child.once('error', () => resolve(128));
      child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 143)));
    });
    if (this.#stopping) this.#signal('SIGTERM');
    this.#states.set(name, { running: { startedAt } });
    await this.#report('Running');
    const exitCode = await end;
    this.#children.delete(name);
    rmSync(pidFile, { force: true });
    const reason = exitCode === 0 ? 'Completed' : existsSync(`${pidFile}.oom`) ? 'OOMKilled' : 'Error';
    this.#states.set(name, { terminated: { exitCode, reason, startedAt, finishedAt: new Date().toISOString() } });
    return exitCode;
  }

  /** As a kubelet does with an image that does not exist: it waits. */
  async #neverPulled(name: string): Promise<number> {
    this.#states.set(name, { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image: not found' } });
    await this.#report('Pending');
    while (!this.#stopping) await new Promise((resolve) => setTimeout(resolve, 100));
    return 143;
  }

  #environment({ env = [], volumeMounts = [] }: Container): NodeJS.ProcessEnv {
    const fields: Record<string, string | undefined> = {
      'metadata.name': this.pod.metadata?.name,
      'metadata.namespace': this.pod.metadata?.namespace,
      'status.podIP': '127.0.0.1',
    };
    const here = (value: string) => {
      const mount = volumeMounts.find(({ mountPath }) => value === mountPath || value.startsWith(`${mountPath}/`));
      if (!mount) return value;
      return join(this.#mounts.get(mount.name) ?? '', mount.subPath ?? '', value.slice(mount.mountPath.length));
    };
    const own: Record<string, string | undefined> = {};
    for (const { name, value = '', valueFrom } of env) {
      // $(NAME) is a variable that came before.
      const expanded = value.replaceAll(/\$\((\w+)\)/g, (whole, variable) => own[variable] ?? whole);
      own[name] = valueFrom?.fieldRef ? fields[valueFrom.fieldRef.fieldPath] : here(expanded);
    }
    return { PATH: process.env.PATH, ...own };
  }

  /** One after another: an earlier state must not come after a later one. */
  #report(phase: string): Promise<unknown> {
    const ready = phase === 'Running' ? 'True' : 'False';
    const lastTransitionTime = new Date().toISOString();
    const containerStatuses = (this.pod.spec?.containers ?? []).map((container) => ({
      ...{
        name: container.name,
        image: container.image ?? '',
        imageID: '',
        restartCount: this.#restarts.get(container.name) ?? 0,
        ready: this.#children.has(container.name),
      },
      state: this.#states.get(container.name) ?? { waiting: { reason: 'ContainerCreating' } },
    }));
    const conditions = [{ type: 'Ready', status: ready, lastTransitionTime }];
    this.#reporting = this.#reporting.then(() => api.report(this.pod, { phase, conditions, containerStatuses }));
    return this.#reporting;
  }
}

const running = new Map<string, Running>();

function seen(pod: Pod): void {
  const { uid = '', deletionTimestamp, deletionGracePeriodSeconds = 30 } = pod.metadata ?? {};
  if (pod.spec?.nodeName !== node) return;
  let own = running.get(uid);
  if (!own) {
    if (pod.status?.phase !== 'Pending' || deletionTimestamp) {
      if (deletionTimestamp) void api.remove(pod);
      return;
    }
    own = new Running(pod);
    running.set(uid, own);
  }
  if (deletionTimestamp) void own.stop(deletionGracePeriodSeconds).then(() => api.remove(pod));
}

mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, `${node}.pid`), String(process.pid));
// The API server does not ask who a kubelet is.
const tls = { cert: readFileSync(join(folder, 'apiserver.crt')), key: readFileSync(join(folder, 'apiserver.key')) };
await api.register(node, Number(gpus), await servePortForwards(tls));
await api.beat(node);
setInterval(() => void api.beat(node).catch((error) => logger.warn(error, 'no heartbeat')), HEARTBEAT_MS);
const informer = new Informer<Pod>({ client, collection: pods, logger });
informer.onChange((_, pod) => pod && seen(pod));
informer.start();
process.stdout.write(`ready ${readFileSync(join(folder, `${node}.pid`), 'utf8')}\n`);
process.on('SIGTERM', () => {
  void Promise.all([...running.values()].map((each) => each.stop(2))).then(() => process.exit(0));
});
