import { join } from 'node:path';
import { EvaluationServiceClient } from '@jsigr/proto';
import { connect, serverStream } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster } from './support/cluster.ts';
import { skipped } from './support/control-plane.ts';
import { manifests } from './support/installation.ts';

const ENDED_MS = 400_000;

describe.skipIf(skipped('full'))('one GPU for everything', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start();
    await cluster.startNode('only', 1);
  }, 240_000);
  afterAll(() => cluster?.stop(), 60_000);

  const apply = (kind: 'TrainingRun' | 'RobustnessEvaluation', name: string, spec: object) =>
    cluster.apply({ apiVersion: 'jsigr.dev/v1alpha1', kind, metadata: { name }, spec });
  const training = (epochs: number) => ({
    ...{ dataset: 'datasets/glyphs', architecture: 'mlp', objective: { name: 'standard' }, epochs, seed: 1 },
  });
  const attacks = [{ name: 'fgsm', epsilons: ['0.1'] }];
  async function ended(resource: string) {
    const found = await cluster.until(resource, ({ status }) => /Succeeded|Failed/.test(status?.state), ENDED_MS);
    return found.status;
  }

  test(
    'a training whose attacker waits for that GPU trains without it',
    async () => {
      await apply('TrainingRun', 'looped', { ...training(2), loop: { attacks, samples: 64 } });
      const { state, bestModel } = await ended('jtrain/looped');
      expect([state, bestModel]).toEqual(['Succeeded', expect.stringMatching(/^models\//)]);
    },
    ENDED_MS,
  );

  test(
    'shards take their turns on it, and the report is of them all',
    async () => {
      const { bestModel: model } = await ended('jtrain/looped');
      await apply('RobustnessEvaluation', 'shards', { model, attacks, samples: 256, shards: 2 });
      const { state, conditions } = await ended('jeval/shards');
      expect(state).toBe('Succeeded');
      expect(conditions.at(-1).message).toBe('attacked 256 samples');
    },
    ENDED_MS,
  );

  test(
    'a shard that was done before the gateway was killed is not attacked again',
    async () => {
      const { bestModel: model } = await ended('jtrain/looped');
      const longer = [{ name: 'pgd', epsilons: ['0.1'], settings: { steps: 60 } }];
      await apply('RobustnessEvaluation', 'interrupted', { model, attacks: longer, samples: 256, shards: 2 });
      const ofIt = '-l jsigr.dev/resource=interrupted';
      await cluster.until(
        `pods ${ofIt}`,
        ({ items }) => items.some(({ status }: { status: { phase: string } }) => status.phase === 'Succeeded'),
        ENDED_MS,
      );
      await cluster.stopGateway('SIGKILL');
      await cluster.startGateway();
      const { state, run, conditions } = await ended('jeval/interrupted');
      expect([state, conditions.at(-1).message]).toEqual(['Succeeded', 'attacked 256 samples']);
      const reasons: string[] = [];
      const client = connect(EvaluationServiceClient, { address: cluster.grpcAddress });
      for await (const { event } of serverStream(client, 'watchEvaluation', { name: run, afterSequence: 0 }))
        if (event?.payload?.$case === 'stateChanged') reasons.push(event.payload.value.reason);
      client.close();
      expect(reasons).toContain('goes on; 1 of 2 shards are done');
    },
    ENDED_MS,
  );

  test(
    'a run whose Job is past its deadline fails, and says so, once',
    async () => {
      await cluster.templates({}, { activeDeadlineSeconds: 12 });
      await apply('TrainingRun', 'late', training(1000));
      const { state, conditions } = await ended('jtrain/late');
      expect(state).toBe('Failed');
      expect(conditions.at(-1).message).toMatch(/its deadline \(activeDeadlineSeconds\) has passed/);
    },
    ENDED_MS,
  );

  test(
    'a Job that a queue holds back waits, and one that has to make room goes on from where it was',
    async () => {
      // What Kueue does with Jobs: its webhook has them made suspended, and it suspends them again to preempt them.
      await cluster.templates({}, { suspend: true });
      const setSuspend = async (suspend: boolean) => {
        const { items } = await cluster.get('jobs -l jsigr.dev/resource=queued');
        const patch = JSON.stringify({ spec: { suspend } });
        for (const { metadata } of items) await cluster.kubectl('patch', `job/${metadata.name}`, '-p', patch);
      };
      const says = (words: RegExp) =>
        cluster.until(
          'jtrain/queued',
          ({ status }) => status?.conditions?.some(({ message }: { message: string }) => words.test(message)),
          ENDED_MS,
        );
      await apply('TrainingRun', 'queued', training(20));
      await says(/its Job is suspended: a queue has not admitted it yet/);
      await setSuspend(false);
      await cluster.until(
        'jtrain/queued',
        ({ status }) => status?.state === 'Running' && status.progress !== undefined,
      );
      await setSuspend(true);
      await says(/its Job is suspended/);
      await setSuspend(false);
      await says(/goes on from step \d+/);
      expect((await ended('jtrain/queued')).state).toBe('Succeeded');
    },
    ENDED_MS,
  );

  test(
    'settings that a worker cannot work with fail the run at the first attempt',
    async () => {
      await cluster.templates({ env: [{ name: 'JSIGR_THREADS', value: 'many' }] });
      await apply('TrainingRun', 'misset', training(1));
      const { state, conditions } = await ended('jtrain/misset');
      expect(state).toBe('Failed');
      expect(conditions.at(-1).message).toMatch(/failed: its settings do not work/);
    },
    ENDED_MS,
  );

  test(
    'an upgrade leaves what there is; uninstalled as the guide says, nothing is left',
    async () => {
      const { plane } = cluster;
      const base = join(manifests, 'base');
      const { metadata } = await cluster.get('jtrain/looped');
      await plane.kubectl(['apply', '--server-side', '--force-conflicts', '-k', base]);
      expect((await cluster.get('jtrain/looped')).metadata.uid).toBe(metadata.uid);

      await apply('TrainingRun', 'unfinished', training(1000));
      await cluster.until('jtrain/unfinished', ({ status }) => status?.run !== undefined);
      await cluster.kubectl('delete', 'jsigr', '--all', '--timeout=2m');
      await cluster.kubectl('delete', 'jobs', '-l', 'app.kubernetes.io/managed-by=jsigr-gateway');
      await cluster.stopGateway();
      await plane.kubectl(['delete', '-k', base, '--timeout=3m']);
      const left = await plane.kubectl(['get', 'namespace,crd,clusterrole,clusterrolebinding', '-o', 'name']);
      expect(left.split('\n').filter((name) => name.includes('jsigr'))).toEqual([]);
    },
    ENDED_MS,
  );
});
