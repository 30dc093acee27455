import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@jsigr/service';
import { isCode, type KubernetesClient } from '../../../gateway/src/kubernetes/client.ts';
import type { Pod } from '../../../gateway/src/kubernetes/types.ts';

const STRATEGIC_MERGE = 'application/strategic-merge-patch+json';
const APPLY = 'application/apply-patch+yaml';
const HEARTBEAT_SECONDS = 40;
const PATIENCE_MS = 60_000;
const AGAIN_MS = 200;

export interface TokenSource {
  readonly audience?: string;
  readonly expirationSeconds?: number;
}

/** What a kubelet says to the API server, and asks of it. */
export class NodeApi {
  readonly #client: KubernetesClient;
  readonly #logger: Logger;

  constructor(client: KubernetesClient, logger: Logger) {
    this.#client = client;
    this.#logger = logger;
  }

  /** @param kubeletPort where the API server finds who runs the node's pods, on this machine */
  async register(node: string, gpus: number, kubeletPort?: number): Promise<void> {
    const type = { apiVersion: 'v1', kind: 'Node' };
    const labels = { 'kubernetes.io/hostname': node, 'kubernetes.io/os': 'linux', 'nvidia.com/gpu.present': 'true' };
    const taints = [{ key: 'nvidia.com/gpu', value: 'present', effect: 'NoSchedule' }];
    await this.#apply(`/api/v1/nodes/${node}`, { ...type, metadata: { name: node, labels }, spec: { taints } });
    const amount = {
      ...{ cpu: '16', memory: '64Gi', 'ephemeral-storage': '100Gi', pods: '110' },
      'nvidia.com/gpu': String(gpus),
    };
    const now = new Date().toISOString();
    const ready = {
      ...{ type: 'Ready', status: 'True', reason: 'ProcessNode' },
      ...{ lastHeartbeatTime: now, lastTransitionTime: now },
    };
    const status = {
      ...{ capacity: amount, allocatable: amount, conditions: [ready] },
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      ...(kubeletPort === undefined ? {} : { daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } } }),
    };
    await this.#apply(`/api/v1/nodes/${node}/status`, { ...type, metadata: { name: node }, status });
  }

  /** A node that does not is seen to be gone. */
  async beat(node: string): Promise<void> {
    const renewTime = new Date().toISOString().replace('Z', '000Z');
    const spec = { holderIdentity: node, leaseDurationSeconds: HEARTBEAT_SECONDS, renewTime };
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: node }, spec };
    await this.#apply(`/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${node}`, lease);
  }

  /** A token of the pod's service account that is worth something as long as the pod is there. */
  async token({ metadata, spec: pod }: Pod, { audience, expirationSeconds }: TokenSource): Promise<string> {
    const { name, namespace, uid } = metadata ?? {};
    const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name, uid };
    const spec = { audiences: [audience], expirationSeconds, boundObjectRef };
    const account = `/api/v1/namespaces/${namespace}/serviceaccounts/${pod?.serviceAccountName}/token`;
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
    return (await this.#client.request<{ status: { token: string } }>('POST', account, { body })).status.token;
  }

  /** What a Secret of the pod's namespace holds. */
  async secret({ metadata }: Pod, name: string): Promise<Record<string, Buffer>> {
    const path = `/api/v1/namespaces/${metadata?.namespace}/secrets/${name}`;
    const { data = {} } = await this.#client.request<{ data?: Record<string, string> }>('GET', path);
    return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64')]));
  }

  /** Never rejects. */
  async report({ metadata }: Pod, status: object): Promise<void> {
    const { name = '', namespace = '', uid } = metadata ?? {};
    const path = `/api/v1/namespaces/${namespace}/pods/${name}/status`;
    const podIP = '127.0.0.1';
    const body = { metadata: { uid }, status: { podIP, podIPs: [{ ip: podIP }], ...status } };
    await patiently(() => this.#client.request('PATCH', path, { body, contentType: STRATEGIC_MERGE })).catch(
      (error) => {
        if (!isCode(error, 404, 409)) this.#logger.error(error, `the state of ${name} could not be reported`);
      },
    );
  }

  /** What a kubelet does when the last process of a pod that is to go has ended. Never rejects. */
  async remove({ metadata }: Pod): Promise<void> {
    // All in the body: parameters in the address are ignored where a body is sent.
    const body = { gracePeriodSeconds: 0, preconditions: { uid: metadata?.uid } };
    const path = `/api/v1/namespaces/${metadata?.namespace}/pods/${metadata?.name}`;
    await patiently(() => this.#client.request('DELETE', path, { body })).catch((error) => {
      if (!isCode(error, 404, 409)) this.#logger.error(error, 'a pod could not be removed');
    });
  }

  #apply(path: string, body: object): Promise<unknown> {
    const query = { fieldManager: 'process-node', force: 'true' };
    return this.#client.request('PATCH', path, { body, contentType: APPLY, query });
  }
}

/** As long as the API server is away a kubelet tries again: an end that is not told would never be known. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + PATIENCE_MS; ; ) {
    try {
      return await work();
    } catch (error) {
      if (!isCode(error, 0) || Date.now() > end) throw error;
    }
    await sleep(AGAIN_MS);
  }
}
