import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Dataset, RobustnessReport, RunState, TransferMatrix } from '@jsigr/proto';
import { type ArtefactKind, type ArtefactStore, directoryArtefactStore } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Audit } from '../access/audit.ts';
import { LOCAL } from '../access/caller.ts';
import { type Store, storeOn } from '../store/store.ts';
import { OPENING_MS, onEachDatabase } from '../store/testing.ts';
import { Maintenance } from './maintenance.ts';

onEachDatabase((database) => {
  let root: string;
  let store: Store;
  let artefacts: ArtefactStore;
  let now = Date.now();
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'jsigr-gc-'));
    artefacts = directoryArtefactStore(root);
    store = await storeOn(await database.open(), () => new Date(now));
  }, OPENING_MS);
  afterAll(async () => {
    await store.close();
    await rm(root, { recursive: true });
  });

  const put = async (kind: ArtefactKind, text: string) =>
    (await artefacts.put(kind, { 'a.json': Buffer.from(text) })).digest;
  const audit: Audit = { record: () => {}, close: () => {} };
  const hours = (count: number) => ({ seconds: count * 3600, nanos: 0 });
  const collect = (dryRun: boolean, minAge = hours(1)) =>
    new Maintenance(store.retention, artefacts, audit, () => new Date(now))
      .collect({ dryRun, minAge, keepProgress: hours(48) }, LOCAL)
      .then(({ garbage }) => Object.fromEntries(garbage.map(({ kind, count, bytes }) => [kind, [count, bytes]])));
  const nothing = {
    states: [0, 0],
    ledgers: [0, 0],
    examples: [0, 0],
    datasets: [0, 0],
    uploads: [0, 0],
    'progress-events': [0, 0],
  };

  describe('garbage', () => {
    test('is what nothing refers to, once it is old enough; the rest stays', async () => {
      const request = { id: 'r', fingerprint: 'f' };
      const active = await store.runs.create({ kind: 'training', spec: {}, request });
      const ended = await store.runs.create({ kind: 'training', spec: {} });
      const kept = {
        state: await put('states', 'of a run that goes on'),
        ledger: await put('ledgers', 'of a report'),
        matrix: await put('ledgers', 'of a transfer matrix'),
        unfinished: await put('ledgers', 'that an evaluation goes on from'),
        shard: await put('ledgers', 'of a shard that is done'),
        shardState: await put('states', 'of a shard that goes on'),
        dataset: await put('datasets', 'listed'),
        examples: await put('examples', 'for the next epoch'),
        model: await put('models', 'always'),
      };
      const gone = {
        state: await put('states', 'of a run that ended'),
        ledger: await put('ledgers', 'of nothing'),
        dataset: await put('datasets', 'forgotten'),
        examples: await put('examples', 'that a run trained with'),
      };
      await store.runs.keepResumePoint(active.id, { kind: 'states', digest: kept.state, step: 1 });
      await store.runs.keepResumePoint(ended.id, { kind: 'states', digest: gone.state, step: 1 });
      const value = RobustnessReport.fromPartial({ ledger: kept.ledger, trainingExamples: kept.examples });
      await store.runs.append(active.id, { $case: 'robustnessReported', value });
      const matrix = TransferMatrix.fromPartial({ ledger: kept.matrix });
      await store.runs.append(active.id, { $case: 'transferMatrixReported', value: matrix });
      await store.runs.create({ kind: 'evaluation', spec: { plan: { resumeLedger: kept.unfinished } } });
      const shared = await store.runs.create({ kind: 'evaluation', spec: {} });
      await store.runs.keepPart(shared.id, 0, { report: { ledger: kept.shard } });
      const ofShard = { kind: 'states', digest: kept.shardState, step: 1 } as const;
      await store.runs.keepPart(shared.id, 1, { resumePoint: ofShard });
      const trainedWith = RobustnessReport.fromPartial({ ledger: kept.ledger, trainingExamples: gone.examples });
      await store.runs.append(ended.id, { $case: 'robustnessReported', value: trainedWith });
      await store.runs.append(ended.id, {
        $case: 'evaluationProgress',
        value: { attack: '', epsilon: 0, fraction: 0.5 },
      });
      await store.runs.transition(ended.id, RunState.RUN_STATE_CANCELLED);
      await store.datasets.add('listed', Dataset.fromPartial({ digest: kept.dataset }));
      await mkdir(join(root, '.partial', 'broken'), { recursive: true });
      await writeFile(join(root, '.partial', 'broken', 'a.json'), 'half');

      expect(await collect(true)).toEqual(nothing);
      now += 72 * 3600_000;
      const expected = {
        states: [1, 'of a run that ended'.length],
        ledgers: [1, 'of nothing'.length],
        datasets: [1, 'forgotten'.length],
        examples: [1, 'that a run trained with'.length],
        'progress-events': [1, 0],
      };
      expect(await collect(true)).toMatchObject(expected);
      expect(await artefacts.has('states', gone.state)).toBe(true);
      expect(await collect(false)).toMatchObject(expected);
      expect(await collect(false, hours(0))).toMatchObject({ ...nothing, uploads: [1, 4] });
      expect(await collect(false, hours(0))).toEqual(nothing);

      for (const [kind, digest] of [
        ['states', kept.state],
        ['ledgers', kept.ledger],
        ['ledgers', kept.matrix],
        ['ledgers', kept.unfinished],
        ['ledgers', kept.shard],
        ['states', kept.shardState],
        ['datasets', kept.dataset],
        ['examples', kept.examples],
        ['models', kept.model],
      ] as const)
        expect(await artefacts.has(kind, digest)).toBe(true);
      for (const [kind, digest] of Object.entries(gone))
        expect(await artefacts.has(`${kind.replace(/s$/, '')}s` as ArtefactKind, digest)).toBe(false);
      // What is left keeps its numbers, and an old request its run.
      expect((await store.runs.events(ended.id, 0)).map(({ sequence }) => sequence)).toEqual([1, 2, 4]);
      expect((await store.runs.create({ kind: 'training', spec: {}, request })).id).toBe(active.id);
    });

    test.each([-1, 4e9])('of an age of %d seconds is refused by name', async (seconds) => {
      await expect(collect(true, { seconds, nanos: 0 })).rejects.toMatchObject({ violations: [{ field: 'minAge' }] });
    });
  });
});
