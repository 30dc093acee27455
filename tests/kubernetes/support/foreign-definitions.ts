import { execFile, spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

interface Source {
  /** Of the kinds that it defines. */
  readonly group: string;
  readonly module: string;
  readonly version: string;
  /** What the Go tools call the digest of the module: nothing else is taken, wherever it comes from. */
  readonly sum: string;
  readonly folder: string;
  readonly files: readonly string[];
}

/** Custom resources of others that components use, from the Go modules of those who define them. */
const sources: readonly Source[] = [
  {
    group: 'keda.sh',
    module: 'github.com/kedacore/keda/v2',
    version: 'v2.21.0',
    sum: 'h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=',
    folder: 'config/crd/bases',
    files: ['keda.sh_scaledobjects.yaml', 'keda.sh_triggerauthentications.yaml'],
  },
  {
    group: 'kueue.x-k8s.io',
    module: 'sigs.k8s.io/kueue',
    version: 'v0.17.0',
    sum: 'h1:7hzb38M4eKGzYW+CFv2s1L+swzzacUCHOCXxZmAV90I=',
    folder: 'config/components/crd/bases',
    files: ['localqueues', 'clusterqueues', 'resourceflavors'].map((name) => `kueue.x-k8s.io_${name}.yaml`),
  },
  {
    group: 'gateway.networking.k8s.io',
    module: 'sigs.k8s.io/gateway-api',
    version: 'v1.6.3',
    sum: 'h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=',
    folder: 'config/crd/standard',
    files: ['gateways', 'grpcroutes', 'httproutes', 'backendtlspolicies'].map(
      (name) => `gateway.networking.k8s.io_${name}.yaml`,
    ),
  },
  {
    group: 'gateway.envoyproxy.io',
    module: 'github.com/envoyproxy/gateway',
    version: 'v1.9.1',
    sum: 'h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=',
    folder: 'charts/gateway-helm/charts/crds/crds/generated',
    files: ['gateway.envoyproxy.io_backendtrafficpolicies.yaml'],
  },
  {
    group: 'cert-manager.io',
    module: 'github.com/cert-manager/cert-manager',
    version: 'v1.21.2',
    sum: 'h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=',
    folder: 'deploy/crds',
    files: ['cert-manager.io_certificates.yaml', 'cert-manager.io_issuers.yaml'],
  },
  {
    group: 'monitoring.coreos.com',
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: 'v0.85.0',
    sum: 'h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=',
    folder: 'example/prometheus-operator-crd',
    files: ['monitoring.coreos.com_servicemonitors.yaml', 'monitoring.coreos.com_prometheusrules.yaml'],
  },
];

/** Whether an API server without others' definitions does not know this. */
export function isForeign({ apiVersion }: { readonly apiVersion: string }): boolean {
  return sources.some(({ group }) => apiVersion.startsWith(`${group}/`));
}

/** For `describe.skipIf`: says on the terminal when there is no Go. @throws Error where JSIGR_TEST_KUBERNETES (`api,full,go`) says that there must be. */
export function skippedWithoutGo(): boolean {
  if (spawnSync('go', ['version']).status === 0) return false;
  const why =
    'there is no Go, which brings the custom resources of KEDA, Kueue, the Gateway API, cert-manager and Prometheus';
  if (process.env.JSIGR_TEST_KUBERNETES?.split(',').includes('go'))
    throw new Error(`the Kubernetes tests (go) must run here, but ${why}`);
  process.stderr.write(`kubernetes (go): skipped, ${why}\n`);
  return true;
}

/** Files with the definitions. @throws Error where a module is not what it was */
export async function foreignDefinitions(): Promise<string[]> {
  const folders = await foldersOf(sources);
  return sources.flatMap(({ folder, files }, i) => files.map((file) => join(folders[i] ?? '', folder, file)));
}

/** KEDA's contract with external scalers, as KEDA publishes it. @throws Error where the module is not what it was */
export async function kedaProto(): Promise<string> {
  const [folder = ''] = await foldersOf(sources.filter(({ group }) => group === 'keda.sh'));
  return join(folder, 'pkg/scalers/externalscaler/externalscaler.proto');
}

/** From Go's cache of modules or its proxy. */
async function foldersOf(some: readonly Source[]): Promise<string[]> {
  const wanted = some.map(({ module, version }) => `${module}@${version}`);
  // Outside any module; digests are checked here, so no database of theirs is asked.
  const options = { cwd: tmpdir(), env: { ...process.env, GOFLAGS: '-mod=mod', GOSUMDB: 'off', GO111MODULE: 'on' } };
  const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', ...wanted], options);
  // One JSON object after the other.
  const found = JSON.parse(`[${stdout.trim().replaceAll(/\}\s*\{/g, '},{')}]`) as {
    Path: string;
    Sum: string;
    Dir: string;
  }[];
  return some.map(({ module, version, sum }) => {
    const download = found.find(({ Path }) => Path === module);
    if (download?.Sum !== sum) throw new Error(`${module}@${version} has the digest ${download?.Sum}, not ${sum}`);
    return download.Dir;
  });
}
