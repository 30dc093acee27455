import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import { failedPrecondition, invalidArgument, JsigrError, permissionDenied, unavailable } from '@jsigr/service/client';
import type { KubeConfig } from '@kubernetes/client-node';
import { KubernetesClient, KubernetesError } from './client.ts';
import { type Collection, type Pod, pathOf, pods, type Wire } from './types.ts';

export interface ForwardOptions {
  /** Of the kubeconfig; KUBECONFIG says where that is, else ~/.kube/config. */
  readonly context: string;
  /** Of the gateway; that of the context unless told, else jsigr. */
  readonly namespace?: string | undefined;
}

export interface Forwarded {
  /** host:port on this machine. */
  readonly grpcAddress: string;
  /** Name in the gateway's certificate, where it has one. */
  readonly serverName: string;
  readonly close: () => Promise<void>;
}

const SERVICE = 'jsigr-gateway';
const NAMESPACE = 'jsigr';
const services: Collection = { apiVersion: 'v1', plural: 'services' };

type Service = Wire<import('@kubernetes/client-node').V1Service>;

/**
 * The gateway in a cluster, by a port of this machine: each connection goes through the API server to the gateway's pod, as with `kubectl port-forward`. It
 * takes the rights to read Services and Pods and to create `pods/portforward` in the namespace. (The API server's proxy of Services speaks HTTP/1 only, which
 * gRPC is not.)
 * @throws JsigrError INVALID_ARGUMENT for a context that is not there; NO_GATEWAY, GATEWAY_NOT_READY, PERMISSION_DENIED, CLUSTER_UNREACHABLE
 */
export async function forwardGateway({ context, namespace: wanted }: ForwardOptions): Promise<Forwarded> {
  const { KubeConfig, PortForward } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  load(config, context);
  const namespace = wanted || config.getContextObject(context)?.namespace || NAMESPACE;
  const { pod, port } = await findGatewayPod(new KubernetesClient(config, namespace), context);
  const forward = new PortForward(config);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    void connected(forward, { namespace, pod, port }, socket);
  });
  return {
    grpcAddress: await listening(server),
    serverName: `${SERVICE}.${namespace}.svc`,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function load(config: KubeConfig, context: string): void {
  try {
    config.loadFromDefault();
  } catch (error) {
    throw invalidArgument(
      'context',
      `the kubeconfig cannot be read: ${error instanceof Error ? error.message : error}`,
    );
  }
  const known = config.getContexts().map(({ name }) => name);
  if (!known.includes(context))
    throw invalidArgument(
      'context',
      `${JSON.stringify(context)} given; the kubeconfig has ${known.join(', ') || 'none'}`,
    );
  config.setCurrentContext(context);
}

async function findGatewayPod(client: KubernetesClient, context: string): Promise<{ pod: string; port: number }> {
  const { namespace } = client;
  const where = `the namespace ${namespace} of the context ${context}`;
  const service = await client.get<Service>(services, SERVICE).catch((error) => {
    throw refused(error, where);
  });
  const selector = Object.entries(service.spec?.selector ?? {}).map(([key, value]) => `${key}=${value}`);
  const query = { labelSelector: selector.join(',') };
  const { items } = await client.request<{ items: Pod[] }>('GET', pathOf(pods, namespace), { query }).catch((error) => {
    throw refused(error, where);
  });
  const ready = items.find(isReady);
  if (!ready)
    throw unavailable(
      'GATEWAY_NOT_READY',
      `no pod of the gateway in ${where} is ready`,
      `kubectl -n ${namespace} get pods -l ${selector.join(',')}`,
    );
  return { pod: ready.metadata?.name ?? '', port: portOf(ready, service) };
}

function isReady({ metadata, status }: Pod): boolean {
  const ready = status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True');
  return ready === true && metadata?.deletionTimestamp === undefined;
}

/** The container's port behind the Service's port named grpc. */
function portOf({ spec }: Pod, service: Service): number {
  const { port, targetPort } = service.spec?.ports?.find(({ name }) => name === 'grpc') ?? {};
  const target: unknown = targetPort ?? port;
  const named = spec?.containers.flatMap(({ ports = [] }) => ports).find(({ name }) => name === target);
  return Number(named?.containerPort ?? target);
}

function refused(error: unknown, where: string): JsigrError {
  if (!(error instanceof KubernetesError)) return JsigrError.from(error);
  const hint = 'say the namespace of the gateway with --namespace, or install it: kubectl apply -k k8s/overlays/gpu';
  if (error.code === 404) return failedPrecondition('NO_GATEWAY', `there is no Service ${SERVICE} in ${where}`, hint);
  if (error.code === 401 || error.code === 403)
    return permissionDenied('CLUSTER_REFUSED', `the API server: ${error.message}`, 'ask for rights in that namespace');
  return unavailable('CLUSTER_UNREACHABLE', error.message, 'does kubectl reach it with this context?');
}

interface Target {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/** Ties a connection of this machine to the pod's port; what fails ends the connection, which its client sees as a server that is gone. */
async function connected(
  forward: import('@kubernetes/client-node').PortForward,
  { namespace, pod, port }: Target,
  socket: Socket,
): Promise<void> {
  socket.on('error', () => socket.destroy());
  // Something is written there only when the port cannot be reached.
  const failed = new Writable({
    write(chunk, _, done) {
      if (chunk.length > 0) socket.destroy();
      done();
    },
  });
  try {
    const webSocket = await forward.portForward(namespace, pod, [port], socket, failed, socket);
    if (typeof webSocket === 'function') return;
    webSocket.onclose = () => socket.destroy();
    webSocket.onerror = () => socket.destroy();
    socket.on('close', () => webSocket.close());
    if (socket.destroyed) webSocket.close();
  } catch {
    socket.destroy();
  }
}

async function listening(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port of this machine is free');
  return `127.0.0.1:${address.port}`;
}
