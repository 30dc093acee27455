import { START_ANOTHER, type WorkerKindName } from '@jsigr/service';
import type { Job, Metadata } from '../../kubernetes/types.ts';
import { ownerLabels } from '../../operator/resource.ts';

/** A worker Job that is wanted. */
export interface JobRequest {
  readonly kind: Exclude<WorkerKindName, 'explainer'>;
  /** E.g. trainingRuns/abc. */
  readonly run: string;
  /** Of the run: those that name the resource which it came from make the resource the Job's owner. */
  readonly runLabels: Readonly<Record<string, string>>;
  /** Workers that share the run's samples, each an index of the Job. */
  readonly shards: number;
}

export interface JobSettings {
  readonly namespace: string;
  /** host:port of the gateway as pods reach it. */
  readonly gateway: string;
  readonly image: string;
  /** Where artefacts lie, what workers compute with, whom they may ask. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Where pods have the artefact store that is a folder of the gateway's. */
export const ARTEFACT_FOLDER = '/artefacts';

export const labels = {
  managedBy: 'app.kubernetes.io/managed-by',
  component: 'app.kubernetes.io/component',
  run: 'jsigr.dev/run',
  resource: 'jsigr.dev/resource',
} as const;
export const MANAGER = 'jsigr-gateway';
/** Of the worker in its pod. */
export const CONTAINER = 'worker';
export const SERVICE_ACCOUNT = 'jsigr-worker';
const TOKEN_FOLDER = '/var/run/secrets/jsigr';
const TOKEN_SECONDS = 3600;
/** The worker's own exit code for settings that it cannot work with: another attempt would not help. */
const BAD_SETTINGS = 2;
/** Of a process that SIGTERM ends before it could say that it listens to it, or after it took too long. */
const TERMINATED = 143;
const ATTEMPTS = 3;
const FINISHED_FOR_SECONDS = 24 * 3600;
const GRACE_SECONDS = 60;
/** What a worker in a pod may take of it to hand back its run. */
export const POD_GRACE_SECONDS = GRACE_SECONDS - 10;

export function jobName({ kind, run }: Pick<JobRequest, 'kind' | 'run'>): string {
  return `jsigr-${kind}-${idOf(run)}`;
}

export function idOf(run: string): string {
  return run.split('/').at(-1) ?? '';
}

/** What the audiences of all workers' tokens begin with. */
export const AUDIENCES = 'jsigr.dev/';

/** Whom the token in a worker's pod is for: a token of one run is worth nothing in another one. */
export function audienceOf(kind: string, id: string): string {
  return `${AUDIENCES}${kind}/${id}`;
}

/** The Job of a worker before an admin's template: what it takes to be one, and nothing about nodes. */
export function workerJob(request: JobRequest, settings: JobSettings): Job {
  const { kind, run, shards, runLabels } = request;
  const own = labelsOf(request);
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: jobName(request),
      namespace: settings.namespace,
      labels: own,
      annotations: { 'jsigr.dev/run': run },
      ...ownerOf(runLabels),
    },
    spec: {
      parallelism: shards,
      completions: shards,
      completionMode: 'Indexed',
      // Of each shard on its own: what one shard cannot do does not count against the others.
      backoffLimitPerIndex: ATTEMPTS,
      ttlSecondsAfterFinished: FINISHED_FOR_SECONDS,
      podReplacementPolicy: 'Failed',
      podFailurePolicy: {
        rules: [
          // Evicted, preempted, its node gone: not the worker's fault, and no attempt of it.
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
          // Told to go by whoever deleted its pod, or left by its gateway: the Job makes another one.
          { action: 'Ignore', onExitCodes: endingWith(START_ANOTHER, TERMINATED) },
          { action: 'FailJob', onExitCodes: endingWith(BAD_SETTINGS) },
        ],
      },
      template: {
        metadata: { labels: own },
        spec: {
          restartPolicy: 'Never',
          serviceAccountName: SERVICE_ACCOUNT,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          // Time for a checkpoint.
          terminationGracePeriodSeconds: GRACE_SECONDS,
          // A node that says nothing is given up after a minute instead of five.
          tolerations: ['not-ready', 'unreachable'].map((what) => ({
            key: `node.kubernetes.io/${what}`,
            operator: 'Exists',
            effect: 'NoExecute',
            tolerationSeconds: 60,
          })),
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 10001,
            runAsGroup: 10001,
            fsGroup: 10001,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [
            {
              name: CONTAINER,
              image: settings.image,
              // Its last words are the pod's, whose end is explained by them.
              terminationMessagePolicy: 'FallbackToLogsOnError',
              env: environmentOf(settings),
              ports: [{ name: 'grpc', containerPort: 7470 }],
              readinessProbe: { grpc: { port: 7470 }, periodSeconds: 5 },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
              volumeMounts: [
                { name: 'jsigr-token', mountPath: TOKEN_FOLDER, readOnly: true },
                { name: 'tmp', mountPath: '/tmp' },
              ],
            },
          ],
          volumes: [
            { name: 'tmp', emptyDir: {} },
            {
              name: 'jsigr-token',
              projected: {
                sources: [
                  {
                    serviceAccountToken: {
                      audience: audienceOf(kind, idOf(run)),
                      expirationSeconds: TOKEN_SECONDS,
                      path: 'token',
                    },
                  },
                ],
              },
            },
          ],
        },
      },
    },
  };
}

function endingWith(...values: number[]) {
  return { containerName: CONTAINER, operator: 'In', values };
}

function labelsOf({ kind, run, runLabels }: JobRequest): Record<string, string> {
  const resource = runLabels[ownerLabels.name];
  return {
    'app.kubernetes.io/name': 'jsigr',
    [labels.component]: kind,
    [labels.managedBy]: MANAGER,
    [labels.run]: idOf(run),
    ...(resource ? { [labels.resource]: resource } : {}),
  };
}

function environmentOf({ gateway, variables }: JobSettings) {
  const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  return [
    { name: 'JSIGR_GATEWAY', value: gateway },
    field('JSIGR_WORKER_ID', 'metadata.name'),
    { name: 'JSIGR_WORKER_TOKEN_FILE', value: `${TOKEN_FOLDER}/token` },
    field('JSIGR_HOST', 'status.podIP'),
    { name: 'JSIGR_PORT', value: '7470' },
    ...Object.entries(variables).map(([name, value]) => ({ name, value })),
  ];
}

/** The resource that a run came from owns the run's Jobs: they go with it even while no gateway is up. */
function ownerOf(runLabels: Readonly<Record<string, string>>): Pick<Metadata, 'ownerReferences'> {
  const [kind, name, uid] = [ownerLabels.kind, ownerLabels.name, ownerLabels.uid].map((label) => runLabels[label]);
  if (!kind || !name || !uid) return {};
  return { ownerReferences: [{ apiVersion: 'jsigr.dev/v1alpha1', kind, name, uid, controller: true }] };
}
