import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoDirectory } from '@jsigr/proto';
import { KubeConfig } from '@kubernetes/client-node';
import { KubernetesClient } from '../../../gateway/src/kubernetes/client.ts';
import type { ControlPlane } from './control-plane.ts';
import { NAMESPACE } from './installation.ts';

const definition = loadSync(join(protoDirectory, 'externalscaler/externalscaler.proto'), {
  defaults: true,
  longs: Number,
});
// biome-ignore lint/suspicious/noExplicitAny: a client without types, as others generate theirs
const { ExternalScaler } = (loadPackageDefinition(definition) as any).externalscaler;
const CALL_MS = 2000;

export interface KedaOptions {
  readonly plane: ControlPlane;
  /** Of the scaler, host:port. */
  readonly address: string;
  readonly deployment: string;
  /** Of the trigger, as in a ScaledObject. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly pollMs: number;
  /** How long the scaler must have been inactive before the last pod goes. */
  readonly cooldownMs: number;
  /** How long fewer pods must have been enough before some go. */
  readonly stabilisationMs: number;
}

/**
 * As much of KEDA as scales a Deployment by an external scaler, with a client made from KEDA's published proto alone: it takes it from 0 to 1 and back, as
 * KEDA's own loop does (by polling and by the stream), and from 1 to N by the metric, as the HorizontalPodAutoscaler does that KEDA makes. What a scaler
 * answers with an error changes nothing.
 */
export class Keda {
  most = 1;
  /** As in the options, unless it is changed. */
  cooldownMs: number;
  /** Every number of replicas that it set. */
  readonly set: number[] = [];
  /** Polls that ended with an error. */
  errors = 0;
  readonly #options: KedaOptions;
  readonly #client: KubernetesClient;
  // biome-ignore lint/suspicious/noExplicitAny: see above
  readonly #scaler: any;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>[];
  #lastActive = 0;
  #wanted: { readonly at: number; readonly replicas: number }[] = [];

  constructor(options: KedaOptions) {
    this.#options = options;
    this.cooldownMs = options.cooldownMs;
    const config = new KubeConfig();
    config.loadFromFile(options.plane.kubeconfig);
    this.#client = new KubernetesClient(config, NAMESPACE);
    this.#scaler = new ExternalScaler(options.address, credentials.createInsecure());
    this.#running = [this.#poll(), this.#listen()];
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#scaler.close();
    await Promise.all(this.#running);
  }

  async replicas(): Promise<number> {
    const { spec } = await this.#client.request<{ spec: { replicas?: number } }>('GET', this.#path());
    return spec.replicas ?? 0;
  }

  async #poll(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#look();
      } catch {
        this.errors++;
      }
      await sleep(this.#options.pollMs);
    }
  }

  async #look(): Promise<void> {
    const { result } = await this.#call('IsActive', this.#ref());
    const now = Date.now();
    if (result) this.#lastActive = now;
    const replicas = await this.replicas();
    if (replicas === 0) return result ? this.#scale(1) : undefined;
    if (!result && now - this.#lastActive > this.cooldownMs) return this.#scale(0);
    const wanted = await this.#wantedByMetric();
    this.#wanted = [
      ...this.#wanted.filter(({ at }) => now - at < this.#options.stabilisationMs),
      { at: now, replicas: wanted },
    ];
    const most = Math.min(this.most, Math.max(...this.#wanted.map((each) => each.replicas)));
    if (most !== replicas) await this.#scale(most);
  }

  async #wantedByMetric(): Promise<number> {
    const { metricSpecs } = await this.#call('GetMetricSpec', this.#ref());
    const [{ metricName, targetSizeFloat }] = metricSpecs as [{ metricName: string; targetSizeFloat: number }];
    const { metricValues } = await this.#call('GetMetrics', { scaledObjectRef: this.#ref(), metricName });
    const [{ metricValueFloat }] = metricValues as [{ metricValueFloat: number }];
    return Math.max(1, Math.ceil(metricValueFloat / targetSizeFloat));
  }

  /** The push: active at once, without waiting for the next poll. */
  async #listen(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const stream = this.#scaler.StreamIsActive(this.#ref());
      signal.addEventListener('abort', () => stream.cancel());
      try {
        for await (const { result } of stream) {
          if (!result) continue;
          this.#lastActive = Date.now();
          if ((await this.replicas()) === 0) await this.#scale(1);
        }
      } catch {
        await sleep(this.#options.pollMs);
      }
    }
  }

  #ref() {
    return { name: this.#options.deployment, namespace: NAMESPACE, scalerMetadata: this.#options.metadata };
  }

  #call(method: string, request: object): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const done = (error: unknown, response: Record<string, unknown>) => (error ? reject(error) : resolve(response));
      this.#scaler[method](request, { deadline: Date.now() + CALL_MS }, done);
    });
  }

  async #scale(replicas: number): Promise<void> {
    this.set.push(replicas);
    const contentType = 'application/merge-patch+json';
    await this.#client.request('PATCH', this.#path(), { body: { spec: { replicas } }, contentType });
  }

  #path(): string {
    return `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${this.#options.deployment}/scale`;
  }
}
