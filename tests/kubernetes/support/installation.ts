import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KubeConfig } from '@kubernetes/client-node';
import { parseAllDocuments } from 'yaml';
import { KubernetesClient } from '../../../gateway/src/kubernetes/client.ts';
import type { ControlPlane } from './control-plane.ts';

export const manifests = fileURLToPath(new URL('../../../k8s/', import.meta.url));
export const NAMESPACE = 'jsigr';

/** Everything of k8s/base, with its rights and no others; the gateway and the explainer themselves at zero replicas, since tests start their own. */
export async function install(plane: ControlPlane): Promise<void> {
  const all = await plane.kubectl(['kustomize', `${manifests}base`]);
  const none = all.replaceAll(/^ {2}replicas: 1$/gm, '  replicas: 0');
  // The custom resources must be known before anything else that is of them.
  await plane.kubectl(['apply', '--server-side', '-k', `${manifests}crds`]);
  await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
  await plane.kubectl(['apply', '--server-side', '-f', '-'], none);
}

/** What the gateway's Deployment says of the memory of its process. */
export function memorySettings(): Readonly<Record<string, string>> {
  const objects = parseAllDocuments(readFileSync(`${manifests}base/gateway.yaml`, 'utf8')).map((each) => each.toJS());
  const { containers } = objects.find(({ kind }) => kind === 'Deployment').spec.template.spec;
  const env = containers[0].env as { readonly name: string; readonly value?: string }[];
  const value = (of: string) => env.find(({ name }) => name === of)?.value ?? '';
  return { NODE_OPTIONS: value('NODE_OPTIONS'), MALLOC_ARENA_MAX: value('MALLOC_ARENA_MAX') };
}

/** A client with the rights of the gateway's service account. @param server where something stands between it and the API server */
export async function gatewayClient(plane: ControlPlane, server = plane.server): Promise<KubernetesClient> {
  const config = new KubeConfig();
  config.loadFromFile(await plane.kubeconfigOfServiceAccount(NAMESPACE, 'jsigr-gateway', server));
  return new KubernetesClient(config, NAMESPACE);
}
