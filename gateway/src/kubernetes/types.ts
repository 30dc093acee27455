import type {
  CoreV1Event,
  V1ConfigMap,
  V1Job,
  V1Lease,
  V1ObjectMeta,
  V1Pod,
  V1TokenReview,
} from '@kubernetes/client-node';

/** A type of client-node as it travels in JSON: times are text. */
export type Wire<T> = T extends Date ? string : T extends object ? { [Key in keyof T]: Wire<T[Key]> } : T;

export type Metadata = Wire<V1ObjectMeta>;
export type Pod = Wire<V1Pod>;
export type Job = Wire<V1Job>;
export type Lease = Wire<V1Lease>;
export type ConfigMap = Wire<V1ConfigMap>;
export type Event = Wire<CoreV1Event>;
export type TokenReview = Wire<V1TokenReview>;

export interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: Metadata;
}

export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

/** A kind of resource within a namespace. */
export interface Collection {
  /** `v1`, or group and version. */
  readonly apiVersion: string;
  readonly plural: string;
}

export const pods: Collection = { apiVersion: 'v1', plural: 'pods' };
export const events: Collection = { apiVersion: 'v1', plural: 'events' };
export const configMaps: Collection = { apiVersion: 'v1', plural: 'configmaps' };
export const jobs: Collection = { apiVersion: 'batch/v1', plural: 'jobs' };
export const leases: Collection = { apiVersion: 'coordination.k8s.io/v1', plural: 'leases' };

export function pathOf({ apiVersion, plural }: Collection, namespace: string, name?: string, part?: 'status'): string {
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const collection = `${group}/namespaces/${namespace}/${plural}`;
  return [collection, name, part].filter((piece) => piece !== undefined).join('/');
}
