import { JsigrError, type Logger } from '@jsigr/service';
import { isCode, type KubernetesClient } from '../../kubernetes/client.ts';
import { pathOf, pods } from '../../kubernetes/types.ts';

const ANNOTATION = 'controller.kubernetes.io/pod-deletion-cost';
const BUSY = '100';
const IDLE = '0';
/** Requests come and go faster than the API server should hear of: a pod counts as idle when nothing came for so long. */
const IDLE_AFTER_MS = 5000;

/** What a pod of a Deployment costs to be deleted: when it is scaled down, idle pods go before busy ones. */
export class DeletionCosts {
  readonly #client: Pick<KubernetesClient, 'namespace' | 'request'>;
  readonly #logger: Logger;
  readonly #written = new Map<string, string>();
  readonly #cooling = new Map<string, NodeJS.Timeout>();

  constructor(client: Pick<KubernetesClient, 'namespace' | 'request'>, logger: Logger) {
    this.#client = client;
    this.#logger = logger;
  }

  set(pod: string, busy: boolean): void {
    clearTimeout(this.#cooling.get(pod));
    this.#cooling.delete(pod);
    if (busy) this.#write(pod, BUSY);
    else this.#cooling.set(pod, setTimeout(() => this.#write(pod, IDLE), IDLE_AFTER_MS).unref());
  }

  forget(pod: string): void {
    clearTimeout(this.#cooling.get(pod));
    this.#cooling.delete(pod);
    this.#written.delete(pod);
  }

  close(): void {
    for (const timer of this.#cooling.values()) clearTimeout(timer);
  }

  #write(pod: string, cost: string): void {
    if (this.#written.get(pod) === cost) return;
    this.#written.set(pod, cost);
    const body = { metadata: { annotations: { [ANNOTATION]: cost } } };
    const details = { body, contentType: 'application/merge-patch+json' };
    // Advice, not more: the scaling down waits for nobody, and requests are answered either way.
    void this.#client.request('PATCH', pathOf(pods, this.#client.namespace, pod), details).catch((error) => {
      this.#written.delete(pod);
      if (!isCode(error, 404))
        this.#logger.warn({ pod }, `the pod's deletion cost could not be written: ${JsigrError.from(error).message}`);
    });
  }
}
