import { failedPrecondition, type JsigrError, unavailable } from '@jsigr/service';
import { parse } from 'yaml';
import { isCode, type KubernetesClient } from '../../kubernetes/client.ts';
import { type ConfigMap, configMaps, type Job } from '../../kubernetes/types.ts';
import { CONTAINER, type JobRequest } from './job.ts';
import { mergeStrategically } from './strategic-merge.ts';

const ONE_KIND = ['trainer.yaml', 'attacker.yaml'];

/** What a template must leave as it is, and why. A part of a path in brackets is the name of a list's item. */
const invariants: readonly (readonly [path: string, why: string])[] = [
  ['metadata.name', 'the gateway finds the Job by it'],
  ['metadata.namespace', 'the gateway looks into one namespace'],
  ['metadata.ownerReferences', 'the Job goes with what it was made for'],
  ['spec.parallelism', 'the run says how many workers it has'],
  ['spec.completions', 'the run says how many workers it has'],
  ['spec.completionMode', 'each worker has the shard of its index'],
  ['spec.podFailurePolicy', 'disruptions are no attempts, and settings that do not work are not tried again'],
  ['spec.podReplacementPolicy', 'two workers must not work at one shard'],
  ['spec.selector', 'the Job controller makes it'],
  ['spec.template.spec.restartPolicy', 'Jobs replace pods, not containers'],
  ['spec.template.spec.serviceAccountName', 'the gateway lets in no other'],
  ['spec.template.spec.automountServiceAccountToken', 'a worker has no business at the API server'],
  ['spec.template.spec.volumes[jsigr-token]', 'the worker shows this token to the gateway'],
  [
    `spec.template.spec.containers[${CONTAINER}].volumeMounts[/var/run/secrets/jsigr]`,
    'the worker shows this token to the gateway',
  ],
  ...['JSIGR_GATEWAY', 'JSIGR_WORKER_ID', 'JSIGR_WORKER_TOKEN_FILE'].map(
    (name) =>
      [`spec.template.spec.containers[${CONTAINER}].env[${name}]`, 'the worker finds the gateway by it'] as const,
  ),
  ...['metadata.labels', 'spec.template.metadata.labels'].flatMap((path) =>
    ['app.kubernetes.io/managed-by', 'app.kubernetes.io/component', 'jsigr.dev/run'].map(
      (label) => [`${path}[${label}]`, 'the gateway finds its Jobs and pods by it'] as const,
    ),
  ),
];

/**
 * A Job with an admin's template over it: a partial Job in YAML, merged strategically.
 * @param where what the template is called in messages, e.g. `trainer.yaml in the ConfigMap jsigr-workers`
 * @throws JsigrError FAILED_PRECONDITION BAD_JOB_TEMPLATE naming the field
 */
export function withTemplate(base: Job, template: string | undefined, where: string): Job {
  if (template === undefined) return base;
  const merged = mergeStrategically(base, checked(template, where));
  for (const [path, why] of invariants) {
    const [must, is] = [at(base, path), at(merged, path)].map((value) => JSON.stringify(value) ?? 'nothing');
    if (must !== is) throw bad(where, `${path} is ${is}; it must stay ${must}: ${why}`);
  }
  return merged;
}

/** The Job with an admin's templates over it, those for its kind last. @throws JsigrError as `withTemplate`; UNAVAILABLE TEMPLATE_UNREADABLE */
export async function shapedBy(
  client: Pick<KubernetesClient, 'get'>,
  templates: string,
  job: Job,
  kind: JobRequest['kind'],
): Promise<Job> {
  const map = await client.get<ConfigMap>(configMaps, templates).catch((error) => {
    if (isCode(error, 404)) return undefined;
    throw unavailable('TEMPLATE_UNREADABLE', `the ConfigMap ${templates} cannot be read: ${error.message}`);
  });
  const data = map?.data ?? {};
  const common = Object.keys(data).filter((key) => !ONE_KIND.includes(key));
  return [...common.sort(), `${kind}.yaml`].reduce(
    (shaped, key) => withTemplate(shaped, data[key], `${key} in the ConfigMap ${templates}`),
    job,
  );
}

function checked(template: string, where: string): unknown {
  let document: unknown;
  try {
    document = parse(template) ?? {};
  } catch (error) {
    throw bad(where, `is no YAML: ${error instanceof Error ? error.message : error}`);
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document))
    throw bad(where, 'is no mapping: give metadata and spec of a Job');
  const unknown = Object.keys(document).filter((key) => key !== 'metadata' && key !== 'spec');
  if (unknown.length > 0) throw bad(where, `has ${unknown.join(', ')}: only metadata and spec of a Job may be given`);
  return document;
}

function at(root: unknown, path: string): unknown {
  // `a.b[c/d.e]` is the parts a, b and c/d.e.
  const parts = [...path.matchAll(/\[([^\]]+)\]|[^.[\]]+/g)].map(([plain, bracketed]) => bracketed ?? plain);
  return parts.reduce<unknown>((value, part) => {
    if (!Array.isArray(value)) return (value as Record<string, unknown> | undefined)?.[part];
    return value.find((item: Record<string, unknown>) => item.name === part || item.mountPath === part);
  }, root);
}

function bad(where: string, what: string): JsigrError {
  return failedPrecondition(
    'BAD_JOB_TEMPLATE',
    `${where}: ${what}`,
    'correct the template; runs that wait try it again',
  );
}
