import { setTimeout as sleep } from 'node:timers/promises';
import { Proportion, RobustnessReport, RunState } from '@jsigr/proto';
import { createLogger } from '@jsigr/service';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { stringify } from 'yaml';
import { LOCAL } from '../../gateway/src/access/caller.ts';
import { isCode } from '../../gateway/src/kubernetes/client.ts';
import { leases } from '../../gateway/src/kubernetes/types.ts';
import { collections } from '../../gateway/src/operator/resource.ts';
import { runsOf } from '../../gateway/src/operator/runs.ts';
import { startOperator } from '../../gateway/src/operator/start-operator.ts';
import type { Store } from '../../gateway/src/store/store.ts';
import { memoryStore } from '../../gateway/src/store/testing.ts';
import { saved, type TestGateway, testGateway } from '../../gateway/src/testing/gateway.ts';
import { Cable } from './support/cable.ts';
import { contend } from './support/contend.ts';
import { ControlPlane, skipped } from './support/control-plane.ts';
import { gatewayClient, install, NAMESPACE } from './support/installation.ts';

const WAIT = { timeout: 30_000, interval: 100 };
const logger = createLogger('operator', process.env.JSIGR_LOG_LEVEL || 'silent');

describe.skipIf(skipped('api'))('the operator, with the rights of its service account at a real API server', () => {
  let plane: ControlPlane;
  let store: Store;
  let gateway: TestGateway;
  let operator: ReturnType<typeof startOperator> | undefined;
  let model = '';

  beforeAll(async () => {
    [plane, store] = await Promise.all([ControlPlane.start('api'), memoryStore()]);
    await install(plane);
  }, 120_000);
  afterAll(async () => {
    await plane?.stop();
    await store?.close();
  });
  beforeEach(async () => {
    gateway = await testGateway(store);
    model = await gateway.checkpoint(5);
    await gateway.application.models.record(model.replace('models/', ''));
    await start();
  });
  afterEach(async () => {
    await plane.tryKubectl(['delete', 'jsigr', '--all', '-n', NAMESPACE, '--timeout=20s']);
    await operator?.stop();
    await gateway?.close();
  }, 40_000);

  async function start(server = plane.server) {
    const client = await gatewayClient(plane, server);
    const runs = runsOf({ ...gateway, store: store.runs });
    operator = startOperator({ client, runs, logger, progressMs: 200 });
    return { operator, client };
  }
  const apply = (kind: string, name: string, spec: unknown) =>
    plane.kubectl(
      ['apply', '-n', NAMESPACE, '-f', '-'],
      stringify({ apiVersion: 'jsigr.dev/v1alpha1', kind, metadata: { name }, spec }),
    );
  const train = (name: string, fields = {}) =>
    apply('TrainingRun', name, {
      ...{ dataset: 'datasets/tiny', architecture: 'lenet', objective: { name: 'standard' }, epochs: 1 },
      ...fields,
    });
  const evaluate = (name: string, fields: Record<string, unknown> = { model }) =>
    apply('RobustnessEvaluation', name, {
      attacks: [{ name: 'fgsm', epsilons: ['8/255', '0.1'] }],
      samples: 10,
      ...fields,
    });
  const get = async (resource: string) =>
    JSON.parse(await plane.kubectl(['get', resource, '-n', NAMESPACE, '-o', 'json']));
  const state = (resource: string, expected: string) =>
    vi.waitFor(async () => expect((await get(resource)).status?.state).toBe(expected), WAIT);
  const idOf = async (resource: string) => (await get(resource)).status.run.split('/')[1] as string;

  test('an evaluation, from apply to its figures', async () => {
    await evaluate('figures');
    const attacker = await gateway.pool.attacker();
    expect(attacker.evaluating?.plan).toMatchObject({
      samples: 10,
      attacks: [{ attack: 'fgsm', epsilons: [8 / 255, 0.1] }],
    });
    await state('jeval/figures', 'Running');
    attacker.say({ $case: 'progress', value: { attack: 'fgsm', epsilon: 0.1, fraction: 0.5 } });
    await vi.waitFor(async () => expect((await get('jeval/figures')).status.progress).toBe('50%'), WAIT);
    const share = (successes: number) => Proportion.fromPartial({ successes, trials: 10, value: successes / 10 });
    const report = RobustnessReport.fromPartial({
      model,
      cleanAccuracy: share(9),
      epsilons: [{ norm: 'linf', epsilon: 0.1, whiteBox: share(4) }],
    });
    attacker.say({ $case: 'report', value: { ...report, masking: 'MASKING_VERDICT_NOT_ASSESSED' as never } });
    attacker.end();
    await plane.kubectl(['wait', '--for=condition=Complete', 'jeval/figures', '-n', NAMESPACE, '--timeout=20s']);
    const [, row = ''] = (await plane.kubectl(['get', 'jeval', 'figures', '-n', NAMESPACE])).split('\n');
    expect(row).toMatch(/^figures +Succeeded +0\.900 +0\.400 +NotAssessed +100% /);
    const described = await plane.kubectl(['describe', 'jeval', 'figures', '-n', NAMESPACE]);
    expect(described).toMatch(/Normal +Running/);
    expect(described).toMatch(/Normal +Succeeded .*attacked 10 samples/);
  });

  test('a training run: models in the status, deletion after the end leaves the run', async () => {
    await train('done');
    const trainer = await gateway.pool.trainer();
    trainer.emit(saved(model, 5));
    trainer.end();
    await state('jtrain/done', 'Succeeded');
    const { run, bestModel } = (await get('jtrain/done')).status;
    expect(bestModel).toBe(model);
    await plane.kubectl(['delete', 'jtrain', 'done', '-n', NAMESPACE, '--timeout=20s']);
    expect((await gateway.application.trainingRuns.get({ name: run }, LOCAL)).state).toBe(RunState.RUN_STATE_SUCCEEDED);
  });

  test('deleting a resource cancels its run', async () => {
    await train('cancelled');
    const trainer = await gateway.pool.trainer();
    await state('jtrain/cancelled', 'Running');
    const id = await idOf('jtrain/cancelled');
    await plane.kubectl(['delete', 'jtrain', 'cancelled', '-n', NAMESPACE, '--timeout=20s']);
    expect((await store.runs.get('training', id)).state).toBe(RunState.RUN_STATE_CANCELLED);
    await trainer.changed.until(() => trainer.stopped);
  });

  test('spec.suspend hands the run back, and goes on with it', async () => {
    await train('paused');
    const trainer = await gateway.pool.trainer();
    await state('jtrain/paused', 'Running');
    const suspend = (value: boolean) =>
      plane.kubectl([
        'patch',
        'jtrain',
        'paused',
        '-n',
        NAMESPACE,
        '--type=merge',
        '-p',
        JSON.stringify({ spec: { suspend: value } }),
      ]);
    await suspend(true);
    await state('jtrain/paused', 'Suspended');
    expect(trainer.handedBack).toBe(true);
    await plane.kubectl(['wait', '--for=condition=Suspended', 'jtrain/paused', '-n', NAMESPACE, '--timeout=5s']);
    expect(gateway.pool.list()).toEqual([]);
    await suspend(false);
    const next = await gateway.pool.trainer(1);
    next.emit(saved(model, 5));
    next.end();
    await state('jtrain/paused', 'Succeeded');
  });

  test('what it suspends and resumes is in the audit log', async () => {
    const suspend = (value: boolean) =>
      plane.kubectl(['patch', 'jtrain/noted', '-n', NAMESPACE, '--type=merge', '-p', `{"spec":{"suspend":${value}}}`]);
    await train('noted');
    await gateway.pool.trainer();
    await suspend(true);
    await state('jtrain/noted', 'Suspended');
    await suspend(false);
    await gateway.pool.trainer(1);
    const { status } = await get('jtrain/noted');
    for (const what of ['suspend', 'resume'])
      expect(gateway.audited).toContain(`operator operator ${what} ${status.run}`);
  });

  test('one that is suspended from the start has no run before it is released', async () => {
    await train('later', { suspend: true });
    await state('jtrain/later', 'Suspended');
    expect(gateway.pool.asked).toEqual([]);
    await plane.kubectl([
      'patch',
      'jtrain',
      'later',
      '-n',
      NAMESPACE,
      '--type=merge',
      '-p',
      '{"spec":{"suspend":false}}',
    ]);
    await gateway.pool.trainer();
  });

  test('what the gateway refuses is said in the terms of the resource', async () => {
    await train('refused', { dataset: 'datasets/nowhere', objective: { name: 'jsigr', settings: { nonsense: 1 } } });
    await evaluate('refused', { model, attacks: [{ name: 'nonsense', epsilons: ['0.1'] }] });
    await state('jtrain/refused', 'Invalid');
    await state('jeval/refused', 'Invalid');
    const message = async (resource: string) => (await get(resource)).status.conditions[0].message as string;
    expect(await message('jtrain/refused')).toMatch(/spec\.dataset: there is no dataset datasets\/nowhere; known: /);
    expect(await message('jtrain/refused')).toMatch(/spec\.objective\.settings/);
    expect(await message('jeval/refused')).toMatch(/^spec\.attacks\[0\]\.name: /);
  });

  test('an evaluation waits for its TrainingRun, and attacks its best model', async () => {
    await evaluate('waiting', { modelFrom: { trainingRun: 'first' } });
    await state('jeval/waiting', 'Pending');
    expect((await get('jeval/waiting')).status.conditions[0].message).toBe('there is no TrainingRun first here yet');
    await train('first');
    const trainer = await gateway.pool.trainer();
    trainer.emit(saved(model, 5));
    trainer.end();
    const attacker = await gateway.pool.attacker();
    expect(`models/${attacker.evaluating?.modelDigest}`).toBe(model);
  });

  test('where nobody renews the lease any more, one of two operators takes it, and nothing is done twice', async () => {
    await operator?.stop();
    // A leader that dies leaves its lease behind: here one that nobody renews.
    const now = new Date().toISOString().replace('Z', '000Z');
    const spec = { holderIdentity: 'dead', leaseDurationSeconds: 15, renewTime: now };
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'jsigr-operator' }, spec };
    await plane.kubectl(['apply', '-n', NAMESPACE, '--server-side', '--force-conflicts', '-f', '-'], stringify(lease));
    await train('taken-over');
    await start();
    const second = startOperator({
      client: await gatewayClient(plane),
      runs: runsOf({ ...gateway, store: store.runs }),
      logger,
    });
    await gateway.pool.trainer();
    await state('jtrain/taken-over', 'Running');
    expect(gateway.pool.trainers.length).toBe(1);
    await second.stop();
  });

  test('watches that are cut, and one that begins too long ago (410 Gone), lose nothing', async () => {
    await operator?.stop();
    const cable = await Cable.to(plane.server);
    const { client } = await start(cable.url);
    await train('through-a-cable');
    const trainer = await gateway.pool.trainer();
    await state('jtrain/through-a-cable', 'Running');
    for (let i = 0; i < 5; i++) {
      cable.cut();
      await sleep(100);
    }
    cable.isOut = true;
    cable.cut();
    // Meanwhile the world goes on.
    await evaluate('unseen');
    await sleep(500);
    cable.isOut = false;
    await gateway.pool.attacker();
    // The API server remembers nothing from before its start: whoever goes on from there is told 410.
    await plane.restartApiServer();
    const gone: unknown[] = [];
    const watch = client.watch.bind(client);
    let isOld = true;
    client.watch = async function* <T>(...[collection, query, signal]: Parameters<typeof watch>) {
      const from = isOld ? { ...query, resourceVersion: '1' } : query;
      try {
        yield* watch<T>(collection, from, signal);
      } catch (error) {
        if (isCode(error, 410)) {
          gone.push(error);
          isOld = false;
        }
        throw error;
      }
    } as typeof client.watch;
    cable.cut();
    await vi.waitFor(() => expect(gone.length).toBeGreaterThan(0), WAIT);
    trainer.emit(saved(model, 5));
    trainer.end();
    await state('jtrain/through-a-cable', 'Succeeded');
    await state('jeval/unseen', 'Running');
    await operator?.stop();
    await cable.close();
    await start();
    expect([gateway.pool.trainers.length, gateway.pool.attackers.length]).toEqual([1, 1]);
  });

  test('somebody who changes resource, status and lease all the time keeps neither the run nor the leader from going on', async () => {
    await train('contested');
    const holder = async () => (await get('lease/jsigr-operator')).spec.holderIdentity;
    const leader = await holder();
    const storms = [
      contend(plane, collections.TrainingRun, 'contested', true),
      contend(plane, leases, 'jsigr-operator'),
    ];
    try {
      const trainer = await gateway.pool.trainer();
      await state('jtrain/contested', 'Running');
      trainer.emit(saved(model, 5));
      for (const { changes } of storms) await vi.waitFor(() => expect(changes()).toBeGreaterThan(30), WAIT);
      trainer.end();
      await state('jtrain/contested', 'Succeeded');
    } finally {
      await Promise.all(storms.map((storm) => storm.stop()));
    }
    expect(await holder()).toBe(leader);
    expect(gateway.pool.trainers.length).toBe(1);
    const { status } = await get('jtrain/contested');
    expect(status.conditions.map(({ type, status: holds }: { type: string; status: string }) => [type, holds])).toEqual(
      [
        ['Accepted', 'True'],
        ['Running', 'False'],
        ['Complete', 'True'],
      ],
    );
  });

  test('what happens again is told again', async () => {
    const suspend = (value: boolean) =>
      plane.kubectl(['patch', 'jtrain/twice', '-n', NAMESPACE, '--type=merge', '-p', `{"spec":{"suspend":${value}}}`]);
    await train('twice');
    await gateway.pool.trainer();
    await state('jtrain/twice', 'Running');
    await suspend(true);
    await state('jtrain/twice', 'Suspended');
    await suspend(false);
    await gateway.pool.trainer(1);
    await state('jtrain/twice', 'Running');
    const told = async () => {
      const { items } = await get('events');
      return items.filter(
        ({ involvedObject, reason }: { involvedObject: { name: string }; reason: string }) =>
          involvedObject.name === 'twice' && reason === 'Running',
      ).length;
    };
    await vi.waitFor(async () => expect(await told()).toBe(2), WAIT);
  });

  test('the API server is killed and comes back: the run goes on, and its end is written', async () => {
    await train('survivor');
    const trainer = await gateway.pool.trainer();
    await state('jtrain/survivor', 'Running');
    await plane.restartApiServer(2000);
    trainer.emit(saved(model, 5));
    trainer.end();
    await state('jtrain/survivor', 'Succeeded');
    await evaluate('afterwards');
    await gateway.pool.attacker();
    expect(gateway.pool.trainers.length).toBe(1);
  });
});
