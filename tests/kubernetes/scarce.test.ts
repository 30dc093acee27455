import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster } from './support/cluster.ts';
import { skipped } from './support/control-plane.ts';

const ENDED_MS = 240_000;

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
      const { state, conditions } = await ended('jeval/interrupted');
      expect([state, conditions.at(-1).message]).toEqual(['Succeeded', 'attacked 256 samples']);
      const events = await cluster.get('events --field-selector=involvedObject.name=interrupted');
      const messages = events.items.map(({ message }: { message: string }) => message);
      expect(messages).toContain('goes on; 1 of 2 shards are done');
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
});
