import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JsigrError } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { takeDataDirectory } from './data-directory.ts';
import { holderOf } from './directory-lock.ts';
import { processStart } from './process-identity.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-data-'));
});
afterAll(() => rm(root, { recursive: true }));

const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => JsigrError.from(error),
  );

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['--eval', '']);
  await once(child, 'exit');
  return child.pid ?? 0;
}

describe('the data directory', () => {
  test('is made for its owner alone, taken, announced and given back', async () => {
    const path = join(root, 'deep', 'down');
    const taken = await takeDataDirectory(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect((await holderOf(path))?.grpcAddress).toBeUndefined();
    await taken.announce({ grpcAddress: '127.0.0.1:7460', httpAddress: '127.0.0.1:7461' });
    expect(await holderOf(path)).toMatchObject({ pid: process.pid, grpcAddress: '127.0.0.1:7460' });
    expect(await readdir(path)).toEqual(['gateway.json']);
    await taken.release();
    expect(await holderOf(path)).toBeUndefined();
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });

  test('stays when there is something in it', async () => {
    const path = join(root, 'kept');
    const taken = await takeDataDirectory(path);
    await mkdir(taken.artefacts);
    await taken.release();
    expect(await readdir(path)).toEqual(['artefacts']);
  });

  test('goes to one gateway; the second is told where the first one is', async () => {
    const path = join(root, 'twice');
    const taken = await takeDataDirectory(path);
    expect((await failure(takeDataDirectory(path))).message).toMatch(/another gateway .* is just starting on it/);
    await taken.announce({ grpcAddress: '127.0.0.1:1234' });
    const error = await failure(takeDataDirectory(path));
    expect(error).toMatchObject({ reason: 'DATA_DIRECTORY_IN_USE' });
    expect(error.message).toContain(`the gateway at 127.0.0.1:1234 (process ${process.pid}) uses it`);
    await taken.release();
    await (await takeDataDirectory(path)).release();
  });

  const stale: [string, () => Promise<string>][] = [
    [
      'of a process that is gone',
      async () => JSON.stringify({ pid: await deadPid(), processStart: '1', instance: 'x' }),
    ],
    [
      'of an earlier process with a pid that is in use again',
      async () => JSON.stringify({ pid: process.pid, processStart: '1', instance: 'x' }),
    ],
    ['that is half written', async () => '{"pid": 1'],
    ['that is empty', async () => ''],
  ];
  for (const [what, text] of stale)
    test.skipIf(process.platform !== 'linux')(`a lock ${what} is replaced`, async () => {
      const path = await mkdtemp(join(root, 'stale-'));
      await writeFile(join(path, 'gateway.json'), await text());
      const taken = await takeDataDirectory(path);
      expect(JSON.parse(await readFile(join(path, 'gateway.json'), 'utf8'))).toMatchObject({
        pid: process.pid,
        processStart: await processStart(process.pid),
      });
      await taken.release();
      expect(await readdir(path)).toEqual([]);
    });

  test.skipIf(process.platform !== 'linux')(
    'a lock of a killed process that nobody has buried is replaced',
    async () => {
      // The shell becomes `sleep`, which never asks how its child ended; a shell that still is one would bury it.
      const shell = spawn('sh', ['-c', 'sleep 0.5 & echo $!; exec sleep 60']);
      const pid = Number(String((await once(shell.stdout, 'data'))[0]));
      await vi.waitFor(async () => expect(await readFile(`/proc/${pid}/stat`, 'utf8')).toContain(') Z '), {
        timeout: 10_000,
      });
      const path = await mkdtemp(join(root, 'unburied-'));
      const lock = { pid, processStart: await processStart(pid), instance: 'x' };
      await writeFile(join(path, 'gateway.json'), JSON.stringify(lock));
      await (await takeDataDirectory(path)).release();
      shell.kill();
    },
  );

  test('of many that find a stale lock at once one gets it', async () => {
    const path = await mkdtemp(join(root, 'race-'));
    await writeFile(join(path, 'gateway.json'), '');
    const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => takeDataDirectory(path)));
    expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const attempt of attempts)
      if (attempt.status === 'rejected') expect(attempt.reason.reason).toBe('DATA_DIRECTORY_IN_USE');
  });

  test('a takeover that a crash left half done does not lock the directory for ever', async () => {
    const path = await mkdtemp(join(root, 'crashed-'));
    await writeFile(join(path, 'gateway.json'), '');
    await mkdir(join(path, '.gateway-takeover'));
    expect(await failure(takeDataDirectory(path))).toMatchObject({ reason: 'DATA_DIRECTORY_IN_USE' });
    await utimes(join(path, '.gateway-takeover'), 0, 0);
    await (await takeDataDirectory(path)).release();
  });

  test('nor does one from before the clock was put back', async () => {
    const path = await mkdtemp(join(root, 'future-'));
    await writeFile(join(path, 'gateway.json'), '');
    await mkdir(join(path, '.gateway-takeover'));
    const tomorrow = Date.now() / 1000 + 86_400;
    await utimes(join(path, '.gateway-takeover'), tomorrow, tomorrow);
    await (await takeDataDirectory(path)).release();
  });

  test('has a secret that stays, also when a gateway was killed while it wrote it down', async () => {
    const path = await mkdtemp(join(root, 'secret-'));
    await writeFile(join(path, 'secret.partial'), 'half');
    const taken = await takeDataDirectory(path);
    const secret = await taken.secret();
    expect(secret).toHaveLength(32);
    expect(await taken.secret()).toEqual(secret);
    expect(await readdir(path)).toEqual(['gateway.json', 'secret']);
    await writeFile(join(path, 'secret'), 'short');
    const error = await failure(taken.secret());
    expect(error).toMatchObject({ reason: 'DATA_DIRECTORY_UNUSABLE' });
    expect(error.message).toContain(`${join(path, 'secret')} has 5 bytes, not 32`);
    await taken.release();
  });

  for (const name of ['gateway.json', 'secret'])
    test(`a folder in place of ${name} is one clear error`, async () => {
      const path = await mkdtemp(join(root, 'folder-'));
      await mkdir(join(path, name));
      const error = await failure(takeDataDirectory(path).then((taken) => taken.secret().finally(taken.release)));
      expect(error).toMatchObject({ reason: 'DATA_DIRECTORY_UNUSABLE' });
      expect(error.message).toContain(join(path, name));
    });

  test('a file in the way is one clear error', async () => {
    await writeFile(join(root, 'file'), '');
    const error = await failure(takeDataDirectory(join(root, 'file')));
    expect(error).toMatchObject({ reason: 'DATA_DIRECTORY_UNUSABLE' });
    expect(error.message).toContain(`the data directory ${join(root, 'file')} cannot be used`);
  });

  test.skipIf(process.getuid?.() === 0)('a folder that may not be written to is one clear error', async () => {
    const path = await mkdtemp(join(root, 'read-only-'));
    await chmod(path, 0o500);
    expect(await failure(takeDataDirectory(path))).toMatchObject({ reason: 'DATA_DIRECTORY_UNUSABLE' });
  });
});
