import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JsigrError } from '@jsigr/service';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPglite } from './database.ts';
import { OPENING_MS } from './testing.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-damage-'));
});
afterAll(() => rm(root, { recursive: true }));

test(
  'a byte of the embedded database that changed on the disk is an error, and no figure',
  async () => {
    const directory = join(root, 'db');
    const whole = await openPglite(directory);
    await sql`create table figures as select 'robust accuracy 0.25' as figure`.execute(whole.kysely);
    const { rows } = await sql<{ path: string }>`select pg_relation_filepath('figures') as path`.execute(whole.kysely);
    await whole.close();
    const file = join(directory, rows[0]?.path ?? '');
    const bytes = await readFile(file);
    bytes.write('9', bytes.indexOf('0.25') + 2);
    await writeFile(file, bytes);
    const damaged = await openPglite(directory);
    const error = await sql`select * from figures`.execute(damaged.kysely).catch(JsigrError.from);
    expect(error).toMatchObject({ reason: 'DATABASE_DAMAGED', message: expect.stringContaining('invalid page') });
    await damaged.close();
  },
  3 * OPENING_MS,
);

test('a disk without room is one that is waited for', () => {
  const error = Object.assign(new Error('could not extend file "base/5/1"'), { code: '53100' });
  expect(JsigrError.from(error)).toMatchObject({ reason: 'DATABASE_UNAVAILABLE', hint: 'free space there' });
});
