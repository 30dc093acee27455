import { Dataset, Model } from '@jsigr/proto';
import { Kysely, PGliteDialect } from 'kysely';
import { describe, expect, test } from 'vitest';
import { migrate } from './migrations.ts';
import type { Tables } from './schema.ts';
import { storeOn } from './store.ts';
import { memoryDatabase } from './testing.ts';

describe('the store', () => {
  test('migrates an older schema forward, keeps what is there, and refuses a newer one', async () => {
    const pglite = await memoryDatabase();
    const database = new Kysely<Tables>({ dialect: new PGliteDialect({ pglite }) });
    const first = { version: 1, statements: ['create table t (a int)', 'insert into t values (3)'] };
    const second = { version: 2, statements: ['alter table t add b int default 4'] };
    await migrate(database, [first]);
    await migrate(database, [first, second]);
    await migrate(database, [first, second]);
    expect((await pglite.query('select * from t')).rows).toEqual([{ a: 3, b: 4 }]);
    await expect(migrate(database, [first])).rejects.toMatchObject({
      reason: 'SCHEMA_TOO_NEW',
      message: 'the database has schema version 2; this program knows versions up to 1',
    });
    await database.destroy();
  });

  test('a migration that fails leaves the version before', async () => {
    const pglite = await memoryDatabase();
    const database = new Kysely<Tables>({ dialect: new PGliteDialect({ pglite }) });
    const broken = { version: 1, statements: ['create table t (a int)', 'nonsense'] };
    await expect(migrate(database, [broken])).rejects.toThrow(/syntax error/);
    expect((await pglite.query('select * from schema_version')).rows).toEqual([]);
    await migrate(database, [{ version: 1, statements: ['create table t (a int)'] }]);
    await database.destroy();
  });

  test('keeps models, datasets and sequences', async () => {
    const store = await storeOn(await memoryDatabase(), () => new Date(0));
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
