import { setTimeout as sleep } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import { KubernetesClient } from '../../../gateway/src/kubernetes/client.ts';
import { type Collection, pathOf } from '../../../gateway/src/kubernetes/types.ts';
import type { ControlPlane } from './control-plane.ts';
import { NAMESPACE } from './installation.ts';

const PAUSE_MS = 10;

export interface Contention {
  /** Changes that the API server took so far. */
  changes(): number;
  stop(): Promise<void>;
}

/** Somebody who changes a resource's labels, and its status where it has one, all the time. */
export function contend(plane: ControlPlane, collection: Collection, name: string, withStatus = false): Contention {
  const config = new KubeConfig();
  config.loadFromFile(plane.kubeconfig);
  const client = new KubernetesClient(config, NAMESPACE);
  let going = true;
  let changes = 0;
  const patch = async (body: object, part?: 'status') => {
    const details = { body, contentType: 'application/merge-patch+json', query: { fieldManager: 'storm' } };
    await client.request('PATCH', pathOf(collection, NAMESPACE, name, part), details).then(
      () => changes++,
      () => undefined, // the API server is away, or the other one was faster
    );
  };
  const storm = (async () => {
    for (let i = 0; going; i++) {
      await patch({ metadata: { labels: { storm: String(i) } } });
      if (withStatus) await patch({ status: { progress: `${i % 100}%` } }, 'status');
      await sleep(PAUSE_MS);
    }
  })();
  return {
    changes: () => changes,
    async stop() {
      going = false;
      await storm;
    },
  };
}
