import { Dataset, Model, RunState } from '@jsigr/proto';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { openPostgres } from './database.ts';
import { migrate, migrations } from './migrations.ts';
import { storeOn } from './store.ts';
import { onEachDatabase, tickingClock, writeAs } from './testing.ts';

onEachDatabase((database) => {
  describe('the store', () => {
    test('migrates an older schema forward, keeps what is there, and refuses a newer one', async () => {
      const { kysely, close } = await database.open();
      const first = { version: 1, statements: ['create table t (a int)', 'insert into t values (3)'] };
      const second = { version: 2, statements: ['alter table t add b int default 4'] };
      await migrate(kysely, [first]);
      await migrate(kysely, [first, second]);
      await migrate(kysely, [first, second]);
      expect((await sql`select * from t`.execute(kysely)).rows).toEqual([{ a: 3, b: 4 }]);
      await expect(migrate(kysely, [first])).rejects.toMatchObject({
        reason: 'SCHEMA_TOO_NEW',
        message: 'the database has schema version 2; this program knows versions up to 1',
      });
      await close();
    });

    test('a migration that fails leaves the version before', async () => {
      const { kysely, close } = await database.open();
      const broken = { version: 1, statements: ['create table t (a int)', 'nonsense'] };
      await expect(migrate(kysely, [broken])).rejects.toThrow(/syntax error/);
      expect((await sql`select to_regclass('schema_version') as found`.execute(kysely)).rows).toEqual([
        { found: null },
      ]);
      await migrate(kysely, [{ version: 1, statements: ['create table t (a int)'] }]);
      await close();
    });

    test.each(migrations.slice(0, -1).map(({ version }) => version))(
      'opens what schema version %i wrote, with everything there',
      async (version) => {
        const opened = await database.open();
        await migrate(opened.kysely, migrations.slice(0, version));
        await writeAs(version, opened.kysely);
        const store = await storeOn(opened, tickingClock());
        const run = await store.runs.get('training', 'old');
        expect(run).toMatchObject({
          state: RunState.RUN_STATE_RUNNING,
          lastSequence: 3,
          etag: '2',
          retries: 0,
          displayName: 'mine',
          tenant: 'default',
          labels: { team: 'blue' },
          spec: { epochs: 3 },
          summary: { latestModel: 'models/aa', latestReport: { model: 'models/aa', seconds: 'NaN' } },
        });
        expect(run.resumePoint).toEqual(version >= 2 ? { kind: 'states', digest: 'cc', step: 1 } : undefined);
        expect(run.worker?.id).toBe(version >= 4 ? 'trainer-1' : undefined);
        expect(run.traceParent).toBe(version >= 5 ? '00-01-02-01' : undefined);
        expect(await store.runs.events('old', 0)).toHaveLength(3);
        expect((await store.runs.active()).map(({ id }) => id)).toEqual(['old']);
        const request = { id: 'r1', fingerprint: 'f' };
        expect((await store.runs.create({ kind: 'training', spec: {}, request })).id).toBe('old');
        expect(await store.models.startingWith('aa')).toMatchObject([{ step: 1 }]);
        expect((await store.datasets.find('mnist'))?.digest).toBe('dd');
        expect(await store.next('fencing-token')).toBe(42);
        const payload = { $case: 'workerChanged', value: { kind: '', address: '', change: '' } } as const;
        expect((await store.runs.append('old', payload)).lastSequence).toBe(4);
        await store.close();
      },
    );

    test('keeps models, datasets and sequences', async () => {
      const store = await storeOn(await database.open(), () => new Date(0));
      expect([await store.next('fence'), await store.next('fence'), await store.next('other')]).toEqual([1, 2, 1]);

      const model = (digest: string, step: number) => Model.fromPartial({ name: `models/${digest}`, step });
      await store.models.add('aa11', 'run1', model('aa11', 1));
      await store.models.add('aa22', 'run1', model('aa22', 2));
      await store.models.add('bb33', 'run2', model('bb33', 3));
      await store.models.add('bb33', 'run9', model('bb33', 9));
      const found = await store.models.list('run1', { pageSize: 1, pageToken: '' });
      expect(found.items.map(({ name }) => name)).toEqual(['models/aa22']);
      expect((await store.models.list('', { pageSize: 0, pageToken: '' })).items).toHaveLength(3);
      expect(await store.models.startingWith('aa')).toHaveLength(2);
      expect(await store.models.startingWith('bb')).toMatchObject([{ step: 3 }]);
      expect(await store.models.digests()).toEqual(new Set(['aa11', 'aa22', 'bb33']));

      const dataset = Dataset.fromPartial({ name: 'datasets/mnist', digest: 'cc' });
      expect(await store.datasets.add('mnist', dataset)).toBe(true);
      expect(await store.datasets.add('mnist', Dataset.fromPartial({ digest: 'dd' }))).toBe(false);
      expect((await store.datasets.find('mnist'))?.digest).toBe('cc');
      expect(await store.datasets.find('cifar')).toBeUndefined();
      await store.close();
    });
  });
});

onEachDatabase(({ name, open, openAgain }) => {
  test.runIf(name === 'PostgreSQL')('a database has one gateway at a time; the next one waits for it', async () => {
    const first = await storeOn(await open(), tickingClock());
    await first.own();
    const again = await openAgain();
    if (!again) throw new Error('nobody else was let in');
    const second = await storeOn(again, tickingClock());
    const owned: string[] = [];
    const waiting = second.own().then(() => owned.push('second'));
    owned.push('first');
    await first.close();
    await waiting;
    expect(owned).toEqual(['first', 'second']);
    await second.close();
  });
});

test('a server that is not there is one clear error', async () => {
  await expect(openPostgres('postgres://jsigr@127.0.0.1:1/none')).rejects.toMatchObject({
    reason: 'DATABASE_UNAVAILABLE',
    hint: expect.stringContaining('JSIGR_DATABASE_URL'),
  });
});
