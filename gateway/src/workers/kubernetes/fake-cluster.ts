import { Condition } from '@jsigr/service';
import { type KubernetesClient, KubernetesError } from '../../kubernetes/client.ts';
import type { Collection, Job, KubernetesObject, Pod, WatchEvent } from '../../kubernetes/types.ts';
import { audienceOf, labels, SERVICE_ACCOUNT } from './job.ts';

const NAMESPACE = 'jsigr';

/** An API server's jobs and pods in memory, for the pool's tests: what is created, changed and removed is watched; Jobs make no pods by themselves. */
export class FakeCluster {
  readonly namespace = NAMESPACE;
  readonly objects = new Map<string, Map<string, KubernetesObject>>([
    ['jobs', new Map()],
    ['pods', new Map()],
    ['configmaps', new Map()],
  ]);
  readonly removed: string[] = [];
  /** TokenReviews find no token good. */
  tokensExpired = false;
  #made = 0;
  readonly #changed = new Condition();
  readonly #events: { readonly plural: string; readonly event: WatchEvent<KubernetesObject> }[] = [];

  /** As the pool sees it. */
  get client(): KubernetesClient {
    return this as unknown as KubernetesClient;
  }

  get job(): Job | undefined {
    return [...this.#of('jobs').values()][0] as Job | undefined;
  }

  put(plural: string, object: KubernetesObject | Job | Pod): void {
    const name = object.metadata?.name ?? '';
    const type = this.#of(plural).has(name) ? 'MODIFIED' : 'ADDED';
    this.#of(plural).set(name, object);
    this.#tell(plural, { type, object });
  }

  drop(plural: string, name: string): void {
    const object = this.#of(plural).get(name);
    if (!object) return;
    this.#of(plural).delete(name);
    this.#tell(plural, { type: 'DELETED', object });
  }

  /** What the Job controller and a node do: a pod of the Job. */
  pod(job: Job, attempt: number, status: Pod['status'] = { phase: 'Running' }, index = 0): Pod {
    const { name = '' } = job.metadata ?? {};
    return {
      metadata: {
        ...{ name: `${name}-${index}-${attempt}`, uid: `uid-${index}-${attempt}` },
        creationTimestamp: new Date(attempt * 1000).toISOString(),
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name, uid: job.metadata?.uid ?? '' }],
        labels: { ...job.spec?.template.metadata?.labels, 'batch.kubernetes.io/job-name': name },
        annotations: { 'batch.kubernetes.io/job-completion-index': String(index) },
      },
      spec: job.spec?.template.spec,
      status,
    } as Pod;
  }

  async get<T>(collection: Collection, name: string): Promise<T> {
    const found = this.#of(collection.plural).get(name);
    if (!found) throw new KubernetesError(404, 'NotFound', `there is no ${name}`);
    return found as T;
  }

  async create<T extends KubernetesObject>({ plural }: Collection, body: T): Promise<T> {
    if (this.#of(plural).has(body.metadata?.name ?? '')) throw new KubernetesError(409, 'AlreadyExists', 'it is there');
    this.put(plural, { ...structuredClone(body), metadata: { ...body.metadata, uid: `uid-${++this.#made}` } });
    return body;
  }

  async remove({ plural }: Collection, name: string): Promise<void> {
    this.removed.push(name);
    this.drop(plural, name);
  }

  /** Lists, and TokenReviews. */
  async request<T>(
    method: string,
    path: string,
    { body, query = {} }: { body?: unknown; query?: Readonly<Record<string, string>> } = {},
  ): Promise<T> {
    if (path.endsWith('/tokenreviews'))
      return this.#review(body as { spec: { token: string; audiences: string[] } }) as T;
    if (method === 'DELETE') {
      this.removed.push(path.split('/').at(-1) ?? '');
      return undefined as T;
    }
    const wanted = query.fieldSelector?.replace('metadata.name=', '');
    const items = [...this.#of(path.split('/').at(-1) ?? '').values()].filter(
      ({ metadata }) => wanted === undefined || metadata?.name === wanted,
    );
    return { metadata: { resourceVersion: String(this.#events.length) }, items } as T;
  }

  async *watch<T>({ plural }: Collection, query: Readonly<Record<string, string>>, signal: AbortSignal) {
    for (let next = Number(query.resourceVersion); ; next++) {
      await this.#changed.until(() => next < this.#events.length, { signal });
      const told = this.#events[next];
      if (told?.plural === plural) yield told.event as WatchEvent<T>;
    }
  }

  #review({ spec: { token, audiences } }: { spec: { token: string; audiences: string[] } }) {
    const { aud, uid } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const authenticated = audiences.some((audience) => aud.includes(audience)) && !this.tokensExpired;
    const extra = { 'authentication.kubernetes.io/pod-uid': [uid] };
    const user = { username: `system:serviceaccount:${this.namespace}:${SERVICE_ACCOUNT}`, extra };
    return { status: { authenticated, audiences: authenticated ? aud : [], user } };
  }

  #of(plural: string): Map<string, KubernetesObject> {
    return this.objects.get(plural) ?? new Map();
  }

  #tell(plural: string, event: WatchEvent<KubernetesObject>): void {
    this.#events.push({ plural, event: structuredClone(event) });
    this.#changed.notify();
  }
}

/** The token that a kubelet projects into the pod; as far as anybody reads it. */
export function tokenOf({ metadata }: Pod, aud?: string): string {
  const { [labels.component]: kind = '', [labels.run]: run = '' } = metadata?.labels ?? {};
  const of = { namespace: NAMESPACE, pod: { name: metadata?.name }, serviceaccount: { name: SERVICE_ACCOUNT } };
  const claims = { aud: [aud ?? audienceOf(kind, run)], uid: metadata?.uid, 'kubernetes.io': of };
  return `head.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.signature`;
}
