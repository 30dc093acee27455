import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TokenFile } from './tokens.ts';

let folder: string;
let path: string;
let now: Date;
let file: TokenFile;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jsigr-tokens-'));
  path = join(folder, 'data', 'tokens.json');
  now = new Date('2026-03-01T00:00:00Z');
  file = new TokenFile(path, () => now);
});
afterEach(() => rm(folder, { recursive: true }));

describe('static tokens', () => {
  test('say whose they are, and lie hashed in a file for their owner alone', async () => {
    const { token, entry } = await file.create({ name: 'ci', role: 'runner', tenant: 'vision' });
    expect(token).toMatch(/^jsigr_[0-9a-f]{8}_[\w-]{43}$/);
    expect(await file.verify(token)).toEqual({ subject: 'token/ci', role: 'runner', tenant: 'vision' });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const written = await readFile(path, 'utf8');
    expect(written).toContain(entry.sha256);
    expect(written).not.toContain(token.slice(15));
  });

  test('are made and revoked in the audit log beside their file', async () => {
    const { entry } = await file.create({ name: 'ci', role: 'runner', tenant: 'vision' });
    await file.revoke(entry.id);
    const lines = (await readFile(join(folder, 'data', 'audit.jsonl'), 'utf8')).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject(
      ['create', 'revoke'].map((what) => ({
        time: now.toISOString(),
        subject: expect.stringMatching(/^user\/./),
        method: `jsigr tokens ${what}`,
        resource: `tokens/${entry.id} (ci)`,
      })),
    );
  });

  test('nobody needs one before the first, everybody from then on, after the last was revoked too', async () => {
    expect(await file.isActive()).toBe(false);
    const { entry } = await file.create({ name: 'a', role: 'admin' });
    expect(await file.isActive()).toBe(true);
    await file.revoke(entry.id);
    expect(await file.list()).toEqual([]);
    expect(await file.isActive()).toBe(true);
  });

  test('that are of another gateway, revoked, changed or expired are refused; others are left to others', async () => {
    const { token, entry } = await file.create({ name: 'a', role: 'admin', days: 1 });
    expect(await file.verify('eyJhbGciOiJub25lIn0.e30.')).toBeUndefined();
    await expect(file.verify(`${token}x`)).rejects.toMatchObject({ reason: 'TOKEN_UNKNOWN' });
    await expect(file.verify(token.replace(entry.id, '00000000'))).rejects.toMatchObject({ reason: 'TOKEN_UNKNOWN' });
    now = new Date('2026-03-02T00:00:00Z');
    await expect(file.verify(token)).rejects.toMatchObject({ reason: 'TOKEN_EXPIRED' });
    await file.revoke(entry.id);
    await expect(file.verify(token)).rejects.toMatchObject({ reason: 'TOKEN_UNKNOWN' });
    await expect(file.revoke(entry.id)).rejects.toMatchObject({ reason: 'TOKEN_NOT_FOUND' });
  });

  test('are seen by a gateway that is up as soon as a command made or revoked them', async () => {
    const command = new TokenFile(path);
    expect(await file.isActive()).toBe(false);
    const { token, entry } = await command.create({ name: 'late', role: 'viewer' });
    expect(await file.verify(token)).toMatchObject({ subject: 'token/late' });
    await command.revoke(entry.id);
    await expect(file.verify(token)).rejects.toMatchObject({ reason: 'TOKEN_UNKNOWN' });
  });

  test('a file that makes no sense lets nobody in', async () => {
    const { token } = await file.create({ name: 'a', role: 'admin' });
    await writeFile(path, '{"tokens": [{"role": "god"}]}');
    await chmod(path, 0o600);
    await expect(file.isActive()).rejects.toMatchObject({ reason: 'TOKENS_UNUSABLE' });
    await expect(file.verify(token)).rejects.toMatchObject({ reason: 'TOKENS_UNUSABLE' });
  });

  test.each([
    [{ tenant: 'shared' }, 'tenant'],
    [{ tenant: 'Vision' }, 'tenant'],
    [{ tenant: '../up' }, 'tenant'],
    [{ days: 0 }, 'days'],
    [{ name: '' }, 'name'],
  ])('%j is refused', async (change, field) => {
    await expect(file.create({ name: 'a', role: 'viewer', ...change })).rejects.toThrow(field);
    expect(await file.list()).toEqual([]);
  });
});
