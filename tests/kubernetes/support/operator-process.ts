/**
 * An operator as a process of its own, for tests that kill one: with the rights in KUBECONFIG, on the store at DATABASE_URL, whose workers do what they are told
 * and come to no end. `node operator-process.ts KUBECONFIG DATABASE_URL`
 */
import { createLogger } from '@jsigr/service';
import { KubeConfig } from '@kubernetes/client-node';
import { KubernetesClient } from '../../../gateway/src/kubernetes/client.ts';
import { runsOf } from '../../../gateway/src/operator/runs.ts';
import { startOperator } from '../../../gateway/src/operator/start-operator.ts';
import { openStore } from '../../../gateway/src/store/store.ts';
import { testGateway } from '../../../gateway/src/testing/gateway.ts';

const [kubeconfig = '', url = '', namespace = ''] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromFile(kubeconfig);
const client = new KubernetesClient(config, namespace);
const gateway = await testGateway(await openStore({ url }));
const runs = runsOf({ ...gateway, store: gateway.store.runs });
startOperator({ client, runs, logger: createLogger('operator', 'silent'), progressMs: 200 });
