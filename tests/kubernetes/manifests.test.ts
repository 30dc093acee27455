import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import type { Job } from '../../gateway/src/kubernetes/types.ts';
import { workerJob } from '../../gateway/src/workers/kubernetes/job.ts';
import { withTemplate } from '../../gateway/src/workers/kubernetes/job-template.ts';
import { ControlPlane, skipped } from './support/control-plane.ts';
import { foreignDefinitions, isForeign, skippedWithoutGo } from './support/foreign-definitions.ts';
import { manifests, NAMESPACE } from './support/installation.ts';

/** Without Go, which brings them, the custom resources of others are left out. */
const withoutGo = skippedWithoutGo();
const components = readdirSync(join(manifests, 'components'));
/** What a component is written to come after. */
const before: Readonly<Record<string, readonly string[]>> = {
  mtls: ['tls'],
  'keda-tls': ['keda', 'tls'],
  'gateway-api-tls': ['gateway-api', 'tls'],
  'envoy-gateway': ['gateway-api'],
};
/** All that go together: keda and hpa do not, and cert-manager brings tls. */
const everything = [
  ...['gpu', 'networkpolicy', 'kueue', 'postgres', 's3', 'keda', 'monitoring', 'gateway-api', 'envoy-gateway'],
  ...['cert-manager', 'keda-tls', 'gateway-api-tls', 'mtls'],
];
const settings = { namespace: NAMESPACE, gateway: 'jsigr-gateway:7460', image: 'jsigr-trainer', variables: {} };

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly subjects?: readonly object[];
  readonly spec?: {
    readonly template?: {
      readonly spec: {
        readonly containers: readonly { readonly env: readonly { readonly name: string; readonly value?: string }[] }[];
      };
    };
  };
}

describe.skipIf(skipped('api'))('the manifests, at a real API server that enforces the Restricted policy', () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await ControlPlane.start('api');
    await plane.kubectl(['apply', '--server-side', '-k', join(manifests, 'crds')]);
    await plane.kubectl(['apply', '--server-side', '-f', join(manifests, 'base/namespace.yaml')]);
    if (withoutGo) return;
    const files = (await foreignDefinitions()).flatMap((file) => ['-f', file]);
    await plane.kubectl(['apply', '--server-side', ...files]);
    await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  }, 300_000);
  afterAll(() => plane?.stop());

  async function objectsOf(folder: string): Promise<Manifest[]> {
    const text = await plane.kubectl(['kustomize', folder]);
    return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
  }

  /** A kustomization of the base with these components, beside the control plane's files. @param more of it */
  function withComponents(names: readonly string[], more: object = {}): string {
    const folder = join(plane.folder, `with-${names.join('-')}`);
    mkdirSync(folder, { recursive: true });
    const path = (part: string) => relative(folder, join(manifests, part));
    const kustomization = {
      ...{ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace: NAMESPACE },
      ...{ resources: [path('base')], components: names.map((name) => path(`components/${name}`)) },
      ...more,
    };
    writeFileSync(join(folder, 'kustomization.yaml'), stringify(kustomization));
    return folder;
  }
  const withComponent = (name: string) => withComponents([...(before[name] ?? []), name]);

  async function accepted(all: readonly Manifest[], namespace = NAMESPACE): Promise<void> {
    const objects = withoutGo ? all.filter((object) => !isForeign(object)) : all;
    const text = objects.map((object) => stringify(object)).join('---\n');
    const args = ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '--validate=strict', '-f', '-'];
    const { status, stderr } = await plane.tryKubectl(args, text);
    // A pod that breaks the policy is a warning at its Deployment, and an error only when it is made.
    expect(stderr).toBe('');
    expect(status).toBe(0);
    for (const { kind, metadata } of objects)
      if (!/Namespace|CustomResourceDefinition|^Cluster|ResourceFlavor/.test(kind))
        expect(metadata.namespace, metadata.name).toBe(namespace);
  }

  test.each(['dev', 'gpu'])('overlay %s is accepted whole', async (name) => {
    await accepted(await objectsOf(join(manifests, 'overlays', name)));
  });

  test.each(['dev', 'gpu'])('images of overlay %s have the version of this checkout', async (name) => {
    const { version } = JSON.parse(readFileSync(join(manifests, '../package.json'), 'utf8'));
    const text = stringify(await objectsOf(join(manifests, 'overlays', name)));
    const images = [...text.matchAll(/(?:image|JSIGR_WORKER_IMAGE\n\s*value): "?(\S*jsigr-[^"\s]+)/g)].map(
      ([, image]) => image,
    );
    const suffix = name === 'gpu' ? '-gpu' : '';
    expect(images.sort()).toEqual([
      `jsigr-explainer${suffix}:${version}`,
      `jsigr-gateway:${version}`,
      `jsigr-{kind}${suffix}:${version}`,
    ]);
  });

  test.each(components)('component %s goes with the base', async (name) => {
    await accepted(await objectsOf(withComponent(name)));
  });

  test.skipIf(withoutGo)('all components that go together are accepted whole', async () => {
    const objects = await objectsOf(withComponents(everything));
    await accepted(objects);
    expect([...new Set(objects.filter(isForeign).map(({ kind }) => kind))].sort()).toEqual([
      ...['BackendTLSPolicy', 'BackendTrafficPolicy', 'Certificate', 'GRPCRoute', 'HTTPRoute', 'Issuer', 'LocalQueue'],
      ...['PrometheusRule', 'ScaledObject', 'ServiceMonitor', 'TriggerAuthentication'],
    ]);
  });

  test('in another namespace all is of that namespace, and goes on being accepted', async () => {
    const kustomizationOf = (overlay: string) =>
      parse(readFileSync(join(manifests, `overlays/${overlay}/kustomization.yaml`), 'utf8'));
    const { replacements } = kustomizationOf('gpu');
    for (const others of [kustomizationOf('dev'), guide[0]?.[1]]) expect(others.replacements).toEqual(replacements);
    const objects = await objectsOf(withComponents(everything, { namespace: 'elsewhere', replacements }));
    const namespaces = objects.filter(({ kind }) => kind === 'Namespace');
    await plane.kubectl(['apply', '--server-side', '-f', '-'], stringify(namespaces[0]));
    await accepted(objects, 'elsewhere');
    const text = objects.map((object) => stringify(object)).join('');
    // Where the other namespace would stand, within a text too: hosts, service accounts' groups, `kubectl -n`.
    expect(
      text.match(/.*(jsigr-gateway\.jsigr\b|namespace: jsigr\b|serviceaccounts?:jsigr\b|-n jsigr\b).*/g),
    ).toBeNull();
    for (const host of ['scalerAddress: jsigr-gateway.elsewhere.svc:7460', '- jsigr-gateway.elsewhere.svc'])
      expect(text).toContain(host);
    const bindings = objects.filter(({ kind }) => /RoleBinding$/.test(kind));
    expect(bindings.map(({ metadata, subjects }) => [metadata.name, subjects])).toEqual(
      ['jsigr-gateway', 'jsigr-gateway.elsewhere'].map((name) => [
        name,
        [{ kind: 'ServiceAccount', name: 'jsigr-gateway', namespace: 'elsewhere' }],
      ]),
    );
  });

  test('variables stand before those that are made of them: a kubelet leaves $(NAME) as it is otherwise', async () => {
    const deployments = (await objectsOf(withComponents(everything))).filter(({ kind }) => kind === 'Deployment');
    expect(deployments.length).toBe(2);
    for (const { spec } of deployments)
      for (const { env } of spec?.template?.spec?.containers ?? [])
        for (const [i, { name, value = '' }] of env.entries())
          for (const [, used] of value.matchAll(/\$\((\w+)\)/g))
            expect(
              env.slice(0, i).map((each) => each.name),
              name,
            ).toContain(used);
  });

  test.skipIf(withoutGo)('a mistake in the custom resource of another is refused', async () => {
    const [object] = (await objectsOf(withComponent('keda'))).filter(isForeign);
    const text = stringify({ ...object, spec: { scaleTargetRef: { name: 'x' }, trigger: [] } });
    const { stderr } = await plane.tryKubectl(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], text);
    expect(stderr).toContain('unknown field "spec.trigger"');
  });

  test.each([...components, 'none'])('worker Jobs with the templates of component %s are accepted', async (name) => {
    const objects = await objectsOf(name === 'none' ? join(manifests, 'base') : withComponent(name));
    const map = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'jsigr-workers');
    await created(shaped(map?.data ?? {}));
  });

  /** A worker Job with these templates, in the order of their names. */
  function shaped(templates: Readonly<Record<string, string>>): Job {
    const base = workerJob({ kind: 'trainer', run: 'trainingRuns/abc', runLabels: {}, shards: 4 }, settings);
    return Object.keys(templates)
      .sort()
      .reduce((job, key) => withTemplate(job, templates[key], key), base);
  }

  async function created(job: Job): Promise<void> {
    const args = ['create', '--dry-run=server', '--validate=strict', '-f', '-'];
    expect(await plane.tryKubectl(args, stringify(job))).toMatchObject({ status: 0, stderr: '' });
  }

  /** Its YAML, in the order of the page. */
  const guide = [
    ...readFileSync(join(manifests, '../docs/guide/kubernetes.md'), 'utf8').matchAll(/^```yaml\n(.*?)^```/gms),
  ]
    .flatMap(([, text = '']) => parseAllDocuments(text).map((document) => document.toJS() as Manifest))
    .map((object) => [`${object.kind} ${object.metadata?.name ?? ''}`.trim(), object] as const);

  test.each(guide)('the guide has a %s that works', async (_, object) => {
    if (object.kind === 'Kustomization') {
      const folder = join(plane.folder, 'guide/my-cluster');
      mkdirSync(folder, { recursive: true });
      symlinkSync(manifests, join(plane.folder, 'guide/k8s'));
      writeFileSync(join(folder, 'kustomization.yaml'), stringify(object));
      await accepted(await objectsOf(folder));
    } else if (object.metadata.name === 'jsigr-workers') {
      const map = (await objectsOf(withComponent('gpu'))).find(({ metadata }) => metadata.name === 'jsigr-workers');
      const job = shaped({ ...map?.data, ...object.data });
      const [worker] = job.spec?.template.spec?.containers ?? [];
      expect(Object.keys(worker?.resources?.limits ?? {})).not.toContain('nvidia.com/gpu');
      await created(job);
    } else await accepted([object]);
  });

  test('with s3 the gateway alone mounts a claim, and gateway, explainer and worker Jobs take the Secret', async () => {
    const objects = await objectsOf(withComponent('s3'));
    const texts = new Map(objects.map((object) => [`${object.kind} ${object.metadata.name}`, stringify(object)]));
    expect(texts.get('Deployment jsigr-gateway')).toMatch(/claimName: jsigr-data/);
    for (const name of ['Deployment jsigr-explainer', 'ConfigMap jsigr-workers'])
      expect(texts.get(name)).not.toMatch(/jsigr-data|mountPath: \/artefacts|name: JSIGR_ARTEFACTS/);
    for (const name of ['Deployment jsigr-gateway', 'Deployment jsigr-explainer', 'ConfigMap jsigr-workers'])
      expect(texts.get(name)).toMatch(/secretRef:\s*(\n\s*|\{)name: jsigr-s3/);
  });

  test('a pod that asks for more than the Restricted policy gives is refused', async () => {
    const spec = { containers: [{ name: 'x', image: 'x', securityContext: { privileged: true } }] };
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x', namespace: NAMESPACE }, spec };
    const { stderr } = await plane.tryKubectl(['create', '--dry-run=server', '-f', '-'], stringify(pod));
    expect(stderr).toContain('violates PodSecurity "restricted:latest"');
  });

  test('Kueue finds worker Jobs by their label, and GPUs are asked for by the name of their resource', async () => {
    const textOf = async (name: string) => {
      const map = (await objectsOf(withComponent(name))).find(({ metadata }) => metadata.name === 'jsigr-workers');
      return parse(map?.data?.[`${name}.yaml`] ?? '');
    };
    expect((await textOf('kueue')).metadata.labels).toEqual({ 'kueue.x-k8s.io/queue-name': 'jsigr' });
    const [worker] = (await textOf('gpu')).spec.template.spec.containers;
    expect(worker.resources.limits['nvidia.com/gpu']).toBe(1);
  });
});
