import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, JsigrError } from '@jsigr/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TokenFile } from './access/tokens.ts';
import { findGateway } from './find-gateway.ts';
import { startGateway } from './start-gateway.ts';
import { openPglite } from './store/database.ts';
import { migrate, migrations } from './store/migrations.ts';
import { OPENING_MS, writeAs } from './store/testing.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'jsigr-start-'));
});
afterAll(() => rm(root, { recursive: true }));

const log = createLogger('test', 'silent');
const options = (dataDirectory: string) => ({ dataDirectory, grpcPort: 0, httpPort: 0, log });
const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('it should have failed'),
    (error) => JsigrError.from(error),
  );
const datasets = async (address: string | undefined) => (await fetch(`http://${address}/v1/datasets`)).status;

describe('a gateway', () => {
  test(
    'starts on an empty directory, is found there, keeps others off, and starts again on what it left',
    async () => {
      const directory = join(root, 'data');
      const first = await startGateway(options(directory));
      expect(await datasets(first.httpAddress)).toBe(200);
      expect(await findGateway(directory)).toEqual({
        grpcAddress: first.grpcAddress,
        httpAddress: first.httpAddress,
        pid: process.pid,
        embedded: false,
        token: first.token,
      });
      const second = await failure(startGateway(options(directory)));
      expect(second).toMatchObject({ reason: 'DATA_DIRECTORY_IN_USE' });
      expect(second.message).toContain(first.grpcAddress);
      await first.close();
      expect(await findGateway(directory)).toBeUndefined();
      expect(await readdir(directory)).toEqual(['audit.jsonl', 'db', 'secret']);

      const again = await startGateway({ ...options(directory), httpPort: null, embedded: true });
      expect(again.httpAddress).toBeUndefined();
      expect(await findGateway(directory)).toMatchObject({ grpcAddress: again.grpcAddress, embedded: true });
      await again.close();
    },
    OPENING_MS,
  );

  test(
    'opens the data directory that the version before left, with everything there',
    async () => {
      const directory = join(root, 'older');
      const version = migrations.length - 1;
      const { kysely, close } = await openPglite(join(directory, 'db'));
      await migrate(kysely, migrations.slice(0, version));
      await writeAs(version, kysely);
      await close();
      const gateway = await startGateway(options(directory));
      const get = async (path: string) => (await fetch(`http://${gateway.httpAddress}/v1/${path}`)).json();
      expect(await get('trainingRuns/old')).toMatchObject({
        trainingRun: { displayName: 'mine', lastSequence: expect.any(Number) },
      });
      expect(await get('models')).toMatchObject({ models: [{ name: 'models/aa' }] });
      expect(await get('datasets')).toMatchObject({
        datasets: expect.arrayContaining([expect.objectContaining({ name: 'datasets/mnist' })]),
      });
      await gateway.close();
    },
    OPENING_MS,
  );

  test('whose port is in use says so and leaves nothing behind', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    for (const ports of [{ grpcPort: port }, { httpPort: port }]) {
      const directory = join(root, 'never');
      const error = await failure(startGateway({ ...options(directory), ...ports }));
      expect(error).toMatchObject({
        reason: 'ADDRESS_UNAVAILABLE',
        message: `cannot listen on 127.0.0.1:${port}: the port is in use`,
      });
      await expect(stat(directory)).rejects.toThrow('ENOENT');
    }
    taken.close();
  });

  test('whose database is damaged says so and gives the directory back', async () => {
    const directory = join(root, 'damaged');
    await mkdir(directory);
    await writeFile(join(directory, 'db'), 'no folder');
    expect(await failure(startGateway(options(directory)))).toMatchObject({ reason: 'DATABASE_UNUSABLE' });
    expect(await readdir(directory)).toEqual(['audit.jsonl', 'db', 'secret']);
  });

  test('whose audit log cannot be written says which file that is', async () => {
    const directory = join(root, 'unheard');
    await mkdir(join(directory, 'audit.jsonl'), { recursive: true });
    expect(await failure(startGateway(options(directory)))).toMatchObject({
      reason: 'AUDIT_UNUSABLE',
      message: expect.stringContaining(join(directory, 'audit.jsonl')),
    });
  });

  test('whose database has lost the file that it is known by writes no new one over it', async () => {
    const directory = join(root, 'unknown');
    await mkdir(join(directory, 'db', 'base'), { recursive: true });
    await writeFile(join(directory, 'db', 'base', '1'), 'what there was');
    expect(await failure(startGateway(options(directory)))).toMatchObject({
      reason: 'DATABASE_UNUSABLE',
      message: expect.stringContaining(`${join(directory, 'db', 'PG_VERSION')} is missing`),
    });
    expect(await readdir(join(directory, 'db'))).toEqual(['base']);
  });

  for (const host of ['0.0.0.0', '192.168.1.2', '::', 'example.com'])
    test(`refuses to listen on ${host} while nobody has to sign in`, async () => {
      const error = await failure(startGateway({ ...options(join(root, 'never')), host }));
      expect(error).toMatchObject({ reason: 'NOBODY_SIGNS_IN', hint: expect.stringContaining('jsigr tokens create') });
      await expect(stat(join(root, 'never'))).rejects.toThrow('ENOENT');
    });

  test(
    'listens for other machines once there is a token, and lets in who has one; its owner always',
    async () => {
      const directory = join(root, 'open');
      const { token } = await new TokenFile(join(directory, 'tokens.json')).create({ name: 'a', role: 'viewer' });
      const gateway = await startGateway({ ...options(directory), host: '0.0.0.0' });
      const port = gateway.httpAddress?.split(':')[1];
      const asked = async (bearer: string) => {
        const headers = bearer ? { authorization: `Bearer ${bearer}` } : {};
        return (await fetch(`http://127.0.0.1:${port}/v1/datasets`, { headers })).status;
      };
      expect(await asked('')).toBe(401);
      expect(await asked(`${token}x`)).toBe(401);
      expect(await asked(token)).toBe(200);
      expect(await asked(gateway.token)).toBe(200);
      await gateway.close();
    },
    OPENING_MS,
  );

  const bad: [string, object][] = [
    ['grpcPort', { grpcPort: 65_536 }],
    ['httpPort', { httpPort: -1 }],
    ['idleSeconds', { idleSeconds: Number.NaN }],
    ['threads', { threads: 0 }],
    ['engine', { engine: 'torch' }],
    ['device', { device: 'tpu' }],
    ['dataDirectory', { dataDirectory: '' }],
  ];
  for (const [field, change] of bad)
    test(`refuses a bad ${field}`, async () => {
      const error = await failure(startGateway({ ...options(join(root, 'never')), ...change }));
      expect(error.violations.map((violation) => violation.field)).toEqual([field]);
    });
});
