import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '@jsigr/service/testing';

/** `api`: etcd and the API server, what envtest has; `full`: the scheduler and the controllers of Jobs, garbage and service accounts too. */
export type Tier = 'api' | 'full';

const PROGRAMS: Record<Tier, readonly string[]> = {
  api: ['etcd', 'kube-apiserver', 'kubectl'],
  full: ['etcd', 'kube-apiserver', 'kubectl', 'kube-controller-manager', 'kube-scheduler'],
};
const START_MS = 60_000;
const AUDIT_LOG = 'audit.jsonl';
const AUDIT_POLICY = {
  ...{ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'] },
  rules: [{ level: 'Metadata', userGroups: ['system:serviceaccounts'] }, { level: 'None' }],
};

/** Why the tests of a tier cannot run here; undefined where they can. */
export function missingFor(tier: Tier): string | undefined {
  const assets = process.env.KUBEBUILDER_ASSETS;
  if (!assets) return 'KUBEBUILDER_ASSETS is not set';
  const missing = PROGRAMS[tier].filter((program) => !existsSync(join(assets, program)));
  return missing.length > 0 ? `KUBEBUILDER_ASSETS (${assets}) has no ${missing.join(', ')}` : undefined;
}

/** For `describe.skipIf`: says on the terminal why a tier is skipped. @throws Error where JSIGR_TEST_KUBERNETES (`api,full`) says that it must run. */
export function skipped(tier: Tier): boolean {
  const missing = missingFor(tier);
  if (missing && process.env.JSIGR_TEST_KUBERNETES?.split(',').includes(tier))
    throw new Error(`the Kubernetes tests (${tier}) must run here, but ${missing}`);
  if (missing) process.stderr.write(`kubernetes (${tier}): skipped, ${missing}\n`);
  return missing !== undefined;
}

/** A real Kubernetes API server (and controllers, in the full tier) on free ports of this machine, in a temporary folder. */
export class ControlPlane {
  readonly folder = mkdtempSync(join(tmpdir(), 'jsigr-kubernetes-'));
  /** The administrator's. */
  readonly kubeconfig = join(this.folder, 'kubeconfig');
  server = '';
  readonly #tier: Tier;
  readonly #processes = new Map<string, ChildProcess>();
  #apiserver: readonly string[] = [];

  private constructor(tier: Tier) {
    this.#tier = tier;
  }

  static async start(tier: Tier): Promise<ControlPlane> {
    const plane = new ControlPlane(tier);
    try {
      await plane.#start();
      return plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /** Runs kubectl as the administrator. @throws Error with what it wrote to standard error. */
  async kubectl(args: readonly string[], input = ''): Promise<string> {
    const { status, stdout, stderr } = await this.tryKubectl(args, input);
    if (status !== 0) throw new Error(stderr);
    return stdout;
  }

  async tryKubectl(args: readonly string[], input = '') {
    const all = ['--kubeconfig', this.kubeconfig, '--cache-dir', join(this.folder, 'cache'), ...args];
    const child = spawn(program('kubectl'), all, { stdio: 'pipe' });
    // Commands that read nothing may be gone before this is written.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const [stdout, stderr, [status]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close'),
    ]);
    return { status: status as number, stdout, stderr };
  }

  /** What kubectl writes until it is stopped, e.g. with `-w`. */
  follow(args: readonly string[]): { text(): string; stop(): Promise<void> } {
    const child = spawn(program('kubectl'), ['--kubeconfig', this.kubeconfig, ...args], { stdio: 'pipe' });
    let written = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (written += chunk));
    const ended = once(child, 'exit');
    return {
      text: () => written,
      async stop() {
        child.kill();
        await ended;
      },
    };
  }

  /** A kubeconfig for whoever holds this token. @param server where something stands between it and the API server */
  kubeconfigOf(token: string, file: string, server = this.server): string {
    const path = join(this.folder, file);
    const cluster = { server, 'insecure-skip-tls-verify': true };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster }],
      users: [{ name: 'test', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      'current-context': 'test',
    };
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  }

  /** A kubeconfig of a service account. */
  async kubeconfigOfServiceAccount(namespace: string, name: string, server = this.server): Promise<string> {
    const token = await this.kubectl(['create', 'token', name, '-n', namespace, '--duration', '4h']);
    return this.kubeconfigOf(token.trim(), `kubeconfig-${namespace}-${name}`, server);
  }

  /** Ends the API server at once, as a crash does, and starts it again on its port. */
  async restartApiServer(downMs = 0): Promise<void> {
    await this.#kill('kube-apiserver');
    await sleep(downMs);
    this.#spawn('kube-apiserver', this.#apiserver);
    await this.#apiServerReady();
  }

  /** What a service account was allowed and did, as `verb resource[/subresource]`, sorted. */
  usedBy(namespace: string, account: string): string[] {
    const used = readFileSync(join(this.folder, AUDIT_LOG), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
      .filter(({ user, objectRef }) => objectRef && user.username === `system:serviceaccount:${namespace}:${account}`)
      .filter(({ annotations }) => annotations?.['authorization.k8s.io/decision'] === 'allow')
      .map(
        ({ verb, objectRef: { resource, subresource } }) =>
          `${verb} ${[resource, subresource].filter(Boolean).join('/')}`,
      );
    return [...new Set(used)].sort();
  }

  async stop(): Promise<void> {
    for (const name of [...this.#processes.keys()].reverse()) await this.#kill(name);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const key = this.#write('service-account.key', privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
    const users = ['admin,admin,admin,"system:masters"', 'manager,system:kube-controller-manager,manager'];
    const tokens = this.#write('tokens.csv', [...users, 'scheduler,system:kube-scheduler,scheduler'].join('\n'));
    // Sockets of the folder that the processes run in: etcd has no passwords, and takes no longer paths.
    const [etcd, peer] = ['etcd.sock:0', 'peer.sock:0'];
    // Who asked for what, for the test that rights and use are equal.
    const policy = this.#write('audit-policy.json', JSON.stringify(AUDIT_POLICY));
    this.#spawn('etcd', [
      `--data-dir=${join(this.folder, 'etcd')}`,
      '--unsafe-no-fsync',
      `--listen-client-urls=unix://${etcd}`,
      `--advertise-client-urls=unix://${etcd}`,
      `--listen-peer-urls=unix://${peer}`,
      `--initial-advertise-peer-urls=unix://${peer}`,
      `--initial-cluster=default=unix://${peer}`,
    ]);
    await this.#until('etcd', async () => existsSync(join(this.folder, etcd)));
    const port = await freePort();
    this.server = `https://127.0.0.1:${port}`;
    this.kubeconfigOf('admin', 'kubeconfig');
    this.#apiserver = [
      `--etcd-servers=unix://${etcd}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${port}`,
      '--endpoint-reconciler-type=none',
      `--cert-dir=${this.folder}`,
      `--token-auth-file=${tokens}`,
      '--authorization-mode=Node,RBAC',
      '--allow-privileged',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${key}`,
      `--service-account-signing-key-file=${key}`,
      `--audit-policy-file=${policy}`,
      `--audit-log-path=${join(this.folder, AUDIT_LOG)}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      '--kubelet-preferred-address-types=InternalIP',
      // Nothing makes the service accounts' objects without the controller manager.
      ...(this.#tier === 'api' ? ['--disable-admission-plugins=ServiceAccount'] : []),
    ];
    this.#spawn('kube-apiserver', this.#apiserver);
    await this.#apiServerReady();
    if (this.#tier === 'full') await this.#controllers(key);
  }

  async #controllers(key: string): Promise<void> {
    this.#spawn('kube-controller-manager', [
      `--kubeconfig=${this.kubeconfigOf('manager', 'manager.conf')}`,
      '--secure-port=0',
      '--leader-elect=false',
      '--use-service-account-credentials',
      `--root-ca-file=${join(this.folder, 'apiserver.crt')}`,
      `--service-account-private-key-file=${key}`,
      // A node that says nothing is soon seen to be gone.
      '--node-monitor-grace-period=20s',
      '--kube-api-qps=200',
      '--kube-api-burst=400',
    ]);
    const conf = this.kubeconfigOf('scheduler', 'scheduler.conf');
    this.#spawn('kube-scheduler', [`--kubeconfig=${conf}`, '--secure-port=0', '--leader-elect=false']);
    await this.#until('kube-controller-manager', async () => {
      return (await this.tryKubectl(['get', 'serviceaccount', 'default', '-n', 'default'])).status === 0;
    });
  }

  async #apiServerReady(): Promise<void> {
    await this.#until('kube-apiserver', async () => (await this.tryKubectl(['get', '--raw', '/readyz'])).status === 0);
  }

  #write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  #spawn(name: string, args: readonly string[]): void {
    const log = openSync(join(this.folder, `${name}.log`), 'a');
    this.#processes.set(name, spawn(program(name), args, { cwd: this.folder, stdio: ['ignore', log, log] }));
    closeSync(log);
  }

  async #kill(name: string): Promise<void> {
    const child = this.#processes.get(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async #until(name: string, ready: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + START_MS;
    while (!(await ready())) {
      const child = this.#processes.get(name);
      if (child?.exitCode === null && Date.now() < end) await sleep(100);
      else
        throw new Error(
          `${name} did not become ready: ${readFileSync(join(this.folder, `${name}.log`), 'utf8').slice(-2000)}`,
        );
    }
  }
}

function program(name: string): string {
  return join(process.env.KUBEBUILDER_ASSETS ?? '', name);
}
