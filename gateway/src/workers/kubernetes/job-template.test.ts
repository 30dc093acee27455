import { describe, expect, test } from 'vitest';
import { workerJob } from './job.ts';
import { withTemplate } from './job-template.ts';

const settings = {
  namespace: 'jsigr',
  gateway: 'jsigr-gateway:7460',
  image: 'jsigr-trainer',
  variables: { JSIGR_DEVICE: 'auto' },
};
const base = workerJob({ kind: 'trainer', run: 'trainingRuns/abc', runLabels: {}, shards: 1 }, settings);
const merged = (template: string) => withTemplate(base, template, 'trainer.yaml in the ConfigMap jsigr-workers');

describe('the template of an admin', () => {
  test('is merged into the Job: named lists item by item', () => {
    const job = merged(`
metadata: {labels: {kueue.x-k8s.io/queue-name: gpus}}
spec:
  backoffLimitPerIndex: 5
  activeDeadlineSeconds: 86400
  template:
    spec:
      nodeSelector: {gpu: a100}
      priorityClassName: low
      imagePullSecrets: [{name: registry}]
      resourceClaims: [{name: gpu, resourceClaimTemplateName: one-gpu}]
      tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
      containers:
        - name: worker
          image: example.org/trainer:1
          env: [{name: JSIGR_DEVICE, value: cuda}, {name: NEW, value: "1"}]
          resources: {limits: {nvidia.com/mig-1g.10gb: 1}}
        - name: sidecar
          image: example.org/logs:1
`);
    expect(job.metadata?.labels).toMatchObject({ 'kueue.x-k8s.io/queue-name': 'gpus', 'jsigr.dev/run': 'abc' });
    const pod = job.spec?.template.spec;
    expect(pod?.nodeSelector).toEqual({ gpu: 'a100' });
    // Beside those by which a node that is gone is given up soon.
    expect(pod?.tolerations?.map(({ key }) => key?.split('/').at(-1))).toEqual(['not-ready', 'unreachable', 'gpu']);
    expect(pod?.containers.map(({ name }) => name)).toEqual(['worker', 'sidecar']);
    const [worker] = pod?.containers ?? [];
    expect(worker?.image).toBe('example.org/trainer:1');
    expect(worker?.env?.find(({ name }) => name === 'JSIGR_DEVICE')?.value).toBe('cuda');
    expect(worker?.env?.find(({ name }) => name === 'JSIGR_GATEWAY')?.value).toBe('jsigr-gateway:7460');
    expect(worker?.volumeMounts?.map(({ mountPath }) => mountPath)).toContain('/var/run/secrets/jsigr');
    expect(worker?.securityContext?.readOnlyRootFilesystem).toBe(true);
  });

  test('absent, or empty, changes nothing', () => {
    expect(withTemplate(base, undefined, '')).toBe(base);
    expect(merged('')).toEqual(base);
  });

  const bad: readonly (readonly [what: string, template: string, message: RegExp])[] = [
    ['no YAML', 'a: [', /is no YAML/],
    ['a list', '- a', /is no mapping: give metadata and spec of a Job/],
    ['another kind of thing', 'kind: Pod', /has kind: only metadata and spec of a Job may be given/],
    [
      'containers that start again',
      'spec: {template: {spec: {restartPolicy: OnFailure}}}',
      /restartPolicy is "OnFailure"; it must stay "Never": Jobs replace pods/,
    ],
    ['more workers', 'spec: {parallelism: 4}', /spec\.parallelism is 4; it must stay 1/],
    ['another name', 'metadata: {name: mine}', /metadata\.name is "mine"/],
    [
      'a lost token',
      'spec: {template: {spec: {volumes: [{name: jsigr-token, emptyDir: {}}]}}}',
      /volumes\[jsigr-token\].*shows this token/,
    ],
    [
      'another gateway',
      'spec: {template: {spec: {containers: [{name: worker, env: [{name: JSIGR_GATEWAY, value: "x:1"}]}]}}}',
      /env\[JSIGR_GATEWAY\]/,
    ],
    ['no containers', 'spec: {template: {spec: {containers: null}}}', /containers\[worker\]/],
    [
      'a label that is ours',
      'metadata: {labels: {jsigr.dev/run: x}}',
      /metadata\.labels\[jsigr\.dev\/run\] is "x"; it must stay "abc"/,
    ],
    [
      'the API server',
      'spec: {template: {spec: {automountServiceAccountToken: true}}}',
      /no business at the API server/,
    ],
  ];
  test.each(bad)('is refused with %s', (_, template, message) => {
    expect(() => merged(template)).toThrow(message);
    expect(() => merged(template)).toThrow(/^trainer\.yaml in the ConfigMap jsigr-workers: /);
  });
});

test('a run that came from a resource has Jobs that the resource owns, and that are found by its name', () => {
  const runLabels = { 'kubernetes.kind': 'TrainingRun', 'kubernetes.name': 'mine', 'kubernetes.uid': 'u-1' };
  const { metadata } = workerJob({ kind: 'attacker', run: 'trainingRuns/abc', runLabels, shards: 1 }, settings);
  expect(metadata?.ownerReferences).toEqual([
    { apiVersion: 'jsigr.dev/v1alpha1', kind: 'TrainingRun', name: 'mine', uid: 'u-1', controller: true },
  ]);
  expect(metadata?.labels).toMatchObject({ 'jsigr.dev/resource': 'mine', 'app.kubernetes.io/component': 'attacker' });
});
