import { createLogger } from '@jsigr/service';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { KubernetesError } from '../kubernetes/client.ts';
import { FakeCluster } from '../workers/kubernetes/fake-cluster.ts';
import { Operator } from './operator.ts';
import { collections, FINALIZER, type Resource } from './resource.ts';
import { Refused, type Runs } from './runs.ts';

const resource = {
  apiVersion: 'jsigr.dev/v1alpha1',
  kind: 'TrainingRun',
  metadata: { name: 'one', namespace: 'jsigr', uid: 'u-1' },
  spec: { suspend: false },
} as Resource;

describe('a resource whose finalizer is to be added', () => {
  const apply = vi.fn(async (..._: [unknown, unknown, 'status'?]): Promise<unknown> => undefined);
  const create = vi.fn(async () => {
    throw new Refused('no such dataset');
  });
  const reconciled = vi.fn();
  let operator: Operator;

  beforeEach(() => {
    for (const mock of [apply, create, reconciled]) mock.mockClear();
    const cluster = new FakeCluster();
    for (const { plural } of Object.values(collections)) cluster.objects.set(plural, new Map());
    cluster.objects.set('events', new Map());
    cluster.put(collections.TrainingRun.plural, resource);
    const client = Object.assign(cluster.client, { apply });
    const runs = { find: async () => undefined, create } as Partial<Runs> as Runs;
    const logger = createLogger('test', 'silent');
    operator = new Operator({ client, runs, logger, onReconciled: reconciled });
  });
  afterEach(() => operator.stop());

  test('is made a run of once it has it', async () => {
    operator.start();
    await vi.waitFor(() => expect(reconciled).toHaveBeenCalled());
    expect(apply.mock.calls[0]?.[1]).toMatchObject({ metadata: { uid: 'u-1', finalizers: [FINALIZER] } });
    expect(create).toHaveBeenCalledOnce();
    expect(apply.mock.calls.at(-1)?.[1]).toMatchObject({ status: { state: 'Invalid' } });
  });

  test.each([
    ['is gone', 404],
    ['is another one by now', 409],
  ])('and that %s is made no run of', async (_, code) => {
    apply.mockRejectedValueOnce(new KubernetesError(code, '', 'not there'));
    operator.start();
    await vi.waitFor(() => expect(reconciled).toHaveBeenCalled());
    expect(apply).toHaveBeenCalledOnce();
    expect(create).not.toHaveBeenCalled();
  });
});
