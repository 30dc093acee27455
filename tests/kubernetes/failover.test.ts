import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createLogger } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { LOCAL } from '../../gateway/src/access/caller.ts';
import { runsOf } from '../../gateway/src/operator/runs.ts';
import { startOperator } from '../../gateway/src/operator/start-operator.ts';
import { openStore, type Store } from '../../gateway/src/store/store.ts';
import { saved, type TestGateway, testGateway } from '../../gateway/src/testing/gateway.ts';
import { type PostgresServer, postgresPrograms, startPostgres } from '../../gateway/src/testing/postgres-server.ts';
import { ControlPlane, skipped } from './support/control-plane.ts';
import { eventually } from './support/eventually.ts';
import { gatewayClient, install, NAMESPACE } from './support/installation.ts';

const program = fileURLToPath(new URL('./support/operator-process.ts', import.meta.url));
const WAIT = { timeout: 60_000, interval: 100 };
const withoutPostgres = postgresPrograms() === undefined && process.env.JSIGR_TEST_POSTGRES !== 'required';

describe.skipIf(skipped('api') || withoutPostgres)('two operators on one store, at a real API server', () => {
  let plane: ControlPlane;
  let postgres: PostgresServer;
  let store: Store;
  let gateway: TestGateway;
  let first: ChildProcess | undefined;
  let second: ReturnType<typeof startOperator> | undefined;

  beforeAll(async () => {
    [plane, postgres] = await Promise.all([ControlPlane.start('api'), startPostgres()]);
    await install(plane);
    const url = await postgres.newDatabase();
    const kubeconfig = await plane.kubeconfigOfServiceAccount(NAMESPACE, 'jsigr-gateway');
    first = spawn(process.execPath, ['--conditions=source', '--no-warnings', program, kubeconfig, url, NAMESPACE], {
      stdio: 'inherit',
    });
    await eventually(async () => expect(await holder()).toBeTruthy(), WAIT);
    store = await openStore({ url });
    gateway = await testGateway(store);
    const runs = runsOf({ ...gateway, store: store.runs });
    const logger = createLogger('operator', 'silent');
    second = startOperator({ client: await gatewayClient(plane), runs, logger, progressMs: 200 });
  }, 120_000);
  afterAll(async () => {
    first?.kill('SIGKILL');
    await second?.stop();
    await gateway?.close();
    await store?.close();
    await postgres?.close();
    await plane?.stop();
  }, 60_000);

  const get = async (resource: string) =>
    JSON.parse(await plane.kubectl(['get', ...resource.split(' '), '-n', NAMESPACE, '-o', 'json']));
  const holder = async () => (await get('lease jsigr-operator')).spec.holderIdentity as string;
  const state = (name: string, expected: string) =>
    eventually(async () => expect((await get(`jtrain ${name}`)).status?.state).toBe(expected), WAIT);
  async function train(name: string): Promise<void> {
    const spec = { dataset: 'datasets/tiny', architecture: 'lenet', objective: { name: 'standard' }, epochs: 1 };
    const resource = { apiVersion: 'jsigr.dev/v1alpha1', kind: 'TrainingRun', metadata: { name }, spec };
    await plane.kubectl(['apply', '-n', NAMESPACE, '-f', '-'], stringify(resource));
  }

  test('the one that leads is killed: the other one leads, goes on with what there is, and does nothing twice', async () => {
    await train('begun');
    await state('begun', 'Running');
    const dead = await holder();
    expect(gateway.pool.asked).toEqual([]);
    const gone = first && once(first, 'exit');
    first?.kill('SIGKILL');
    await gone;
    await train('new');
    await eventually(async () => expect(await holder()).not.toBe(dead), WAIT);
    // As the gateway does that the operator is part of.
    await gateway.conductor.resume();
    const model = await gateway.checkpoint(5);
    for (const i of [0, 1]) {
      const trainer = await gateway.pool.trainer(i);
      trainer.emit(saved(model, 5));
      trainer.end();
    }
    for (const name of ['begun', 'new']) await state(name, 'Succeeded');
    const { trainingRuns } = await gateway.application.trainingRuns.list({ pageSize: 100, pageToken: '' }, LOCAL);
    expect(trainingRuns.map(({ displayName }) => displayName).sort()).toEqual(['begun', 'new']);
    const { items } = await get('events');
    const told = items.map(
      ({ involvedObject, reason }: { involvedObject: { name: string }; reason: string }) =>
        `${involvedObject.name} ${reason}`,
    );
    for (const once of ['begun Succeeded', 'new Succeeded', 'new Running'])
      expect(told.filter((each: string) => each === once)).toEqual([once]);
  }, 120_000);
});
